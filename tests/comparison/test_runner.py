import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import LayerActivation, LayerAttribution, LayerGradCam
from nets import MlpHead
from small_comparisons import FAST, pictures, run
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from captum_clustered import ClusteredLayerCAM, metrics, scores
from captum_clustered.comparison import Metric, compare
from captum_clustered.comparison.controls import RandomMap
from captum_clustered.comparison.peers import PEERS, peers_installed
from captum_clustered.metrics._registry import METRICS
from captum_clustered.multi_layer_attribution import MultiLayerAttribution
from captum_clustered.test_time_augmentation import TestTimeAugmentation

CONTROLS = ["Fake-CAM", "random", "center Gaussian", "mean activation", "mask"]


def values(result, method, metric):
    frame = result.frame
    return frame[(frame["method"] == method) & (frame["metric"] == metric)]["value"].to_numpy()


def test_values_are_those_of_the_metrics_by_hand():
    net = MlpHead()
    x, labels, masks = pictures()
    names = ["average drop", "average drop 50% (mean)", "insertion - deletion", "pointing game"]
    result = run(
        net, (x, labels, masks), ["ClusteredLayerCAM(scaling='drop', clusterer=3)"], metrics=names
    )
    target = net(x).argmax(1)
    maps = ClusteredLayerCAM(net, net.relu, clusterer=3, scaling="drop").attribute(x, target)
    arguments = (scores.probability(net), x, maps, target)
    expected = [
        metrics.average_drop(*arguments),
        metrics.average_drop(*arguments, baseline="mean", top_fraction=0.5),
        metrics.insertion_minus_deletion(*arguments, n_steps=10),
        metrics.pointing_game(maps, masks[:, None]).double(),
    ]
    for name, wanted in zip(names, expected, strict=True):
        found = torch.tensor(values(result, "ClusteredLayerCAM(scaling='drop', clusterer=3)", name))
        torch.testing.assert_close(found, wanted.double(), atol=1e-5, rtol=1e-4)
    first = result.frame.iloc[0]
    assert (first["image"], first["label"], first["target"]) == (0, 0, target[0])
    assert first["correct"] == (target[0] == 0)
    assert result.frame["prediction"].tolist()[:: len(names) * 7] == target.tolist()


@pytest.mark.parametrize("score", ["logit", "margin", "probability", "log_probability"])
def test_all_methods_explain_the_chosen_score(score):
    net = MlpHead()
    x, *_ = pictures()
    seen = {}
    spy = {"spy": lambda case: seen.setdefault(case.method, case.attributions).mean((1, 2, 3))}
    run(net, x, ["LayerGradCam", "LayerFeatureAblation"], metrics=spy, score=score, batch_size=6)
    wrapped = net if score == "logit" else getattr(scores, score)(net)
    expected = LayerGradCam(wrapped, net.relu).attribute(x, net(x).argmax(1))
    torch.testing.assert_close(seen["LayerGradCam"], expected)


def test_labels_may_be_missing_where_there_are_masks():
    x, labels, masks = pictures()
    names = {"metrics": ["energy lesion"]}
    without, with_labels = (
        run(data=(x, None, masks), **names),
        run(data=(x, labels, masks), **names),
    )
    assert without.frame["label"].isna().all()
    assert without.frame["value"].equals(with_labels.frame["value"])


def test_ends_of_curves_are_evaluated_once_for_all_methods():
    counts = {}
    for methods in (["mean activation"], ["mean activation", "LayerGradCam"]):
        net, rows = MlpHead(), []
        net.register_forward_pre_hook(lambda _, args, rows=rows: rows.append(len(args[0])))
        run(net, pictures()[0], methods, metrics=["insertion"], reference=None)
        counts[len(methods)] = sum(rows)
    # One more method: the map itself, and nine steps between the ends, of six images.
    assert counts[2] - counts[1] == 6 * (1 + 9)


def test_rows_and_costs():
    net = MlpHead()
    result = run(net, methods=["ClusteredLayerCAM", "LayerGradCam", "LayerFeatureAblation"])
    rows = result.costs()["forward_examples"]
    assert rows[["ClusteredLayerCAM", "LayerGradCam", "mean activation"]].tolist() == [1, 1, 1]
    # The layer's values twice (Captum does not give its own away), the score, and one for
    # each of the six channels.
    assert rows["LayerFeatureAblation"] == 9
    assert rows["Fake-CAM"] == 0
    assert (result.costs()["seconds"] > 0).all()
    assert result.costs()["peak_memory"].isna().all()
    assert (result.metric_seconds > 0).all().all()


def test_controls_cannot_be_left_out():
    assert run(methods=["LayerGradCam"]).methods == ["LayerGradCam", *CONTROLS]
    assert run(methods=["random", "LayerGradCam"]).methods == ["LayerGradCam", *CONTROLS]
    without_masks = run(data=pictures()[0], methods=[])
    assert without_masks.methods == ["LayerGradCam", *CONTROLS[:-1]]
    assert without_masks.controls == CONTROLS[:-1]


def test_defaults():
    net = MlpHead()
    result = compare(net, net.relu, pictures(2), show_progress=False)
    assert not len(result.failures)
    assert result.methods[:7] == [
        "ClusteredLayerCAM",
        "ClusteredLayerCAM(n_clusterings=10)",
        "AblationCAM",
        "ClusteredLayerCAM (mirrored)",
        "LayerGradCam",
        "LayerGradCam (mirrored)",
        "LayerGradientXActivation",
    ]
    assert not {"ScoreCAM", "AblationCAM (grad-cam)", "LayerFeatureAblation"} & set(result.methods)
    assert not {"ROAD", "max-sensitivity"} & set(result.directions)
    assert {"pointing game", "IoU", "infidelity", "ADCC"} <= set(result.directions)


def test_without_grad_cam(monkeypatch):
    monkeypatch.setattr("captum_clustered.comparison.methods.peers_installed", lambda: False)
    result = run(methods=None, metrics="complexity")
    assert result.methods[6:8] == ["LayerGradientXActivation", "Fake-CAM"]
    with pytest.raises(ImportError, match=r"'ScoreCAM'.*captum_clustered\[peers\]"):
        run(methods=["ScoreCAM"])


def test_frozen_models():
    net = MlpHead()
    expected = run(net, methods=["LayerGradCam"])
    net.requires_grad_(False)
    x, labels, masks = pictures()
    assert run(net, (x, labels, masks), ["LayerGradCam"]).values.equals(expected.values)
    assert not x.requires_grad


def test_every_metric_on_every_method():
    everything = [
        "ClusteredLayerCAM(importance='shapley', n_clusterings=2)",
        "LayerFeatureAblation",
    ]
    if peers_installed():
        everything += [info.name for info in PEERS.values()]
    result = run(data=pictures(2), methods=everything, metrics=list(METRICS))
    assert not len(result.failures)
    assert len(result.frame) == 2 * len(result.methods) * len(METRICS)


def test_mask_wins_what_masks_are_for():
    result = run(metrics=["pointing game", "energy in mask", "IoU", "energy background"])
    summary = result.summary().set_index(["metric", "method"])["mean"]
    assert summary["pointing game", "mask"] == 1
    assert summary["energy in mask", "mask"] == 1
    assert summary["IoU", "mask"] == 1
    assert summary["energy background", "mask"] == 0


@pytest.mark.parametrize("target", ["label", 2, np.int64(2)])
def test_other_targets(target):
    result = run(target=target, metrics=["complexity"])
    expected = result.frame["label"] if target == "label" else 2
    assert (result.frame["target"] == expected).all()


def test_layer_input():
    net = MlpHead()
    x, *_ = pictures()
    at_input = compare(net, net.pool, x, attribute_to_layer_input=True, **FAST)
    at_output = compare(net, net.relu, x, **FAST)
    assert not len(at_input.failures)
    torch.testing.assert_close(
        torch.tensor(at_input.frame["value"]), torch.tensor(at_output.frame["value"])
    )


class Halved(LayerAttribution):
    """A user's method: Grad-CAM's map, halved, with random numbers that change nothing."""

    def __init__(self, forward_func, layer, factor=0.5):
        super().__init__(forward_func, layer)
        self.factor = factor

    def attribute(self, inputs, target=None, attribute_to_layer_input=False):
        assert torch.rand(()) >= 0
        cam = LayerGradCam(self.forward_func, self.layer)
        return self.factor * cam.attribute(inputs, target)


def test_a_users_methods():
    net = MlpHead()
    own = Halved(net, net.relu)
    state = torch.random.get_rng_state()
    result = run(net, methods=["LayerGradCam", {"own": own, "made": Halved}])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert own.forward_func is net
    for method in ("own", "made"):
        found = torch.tensor(values(result, method, "average drop"))
        torch.testing.assert_close(
            found,
            torch.tensor(values(result, "LayerGradCam", "average drop")),
            rtol=1e-4,
            atol=1e-4,
        )
    assert result.costs()["forward_examples"]["own"] == 1


MIRRORED = [
    "ClusteredLayerCAM (mirrored)",
    "LayerGradCam (mirrored)",
    "TestTimeAugmentation(LayerGradCam)",
    "TestTimeAugmentation('LayerGradCam', views=('identity', 'hflip'), views_per_eval=1)",
]


def test_methods_with_views():
    net = MlpHead()
    x, *_ = pictures()
    own = TestTimeAugmentation(LayerGradCam(net, net.relu))
    three = (
        "TestTimeAugmentation(ClusteredLayerCAM(clusterer=3), views=['hflip', 'vflip', 'rot90'])"
    )
    maps = {}
    spy = {"spy": lambda case: maps.setdefault(case.method, case.attributions).mean((1, 2, 3))}
    methods = ["LayerGradCam", *MIRRORED, three, {"own": own}]
    result = run(net, x, methods, metrics=spy, batch_size=6)
    target = net(x).argmax(1)

    def mean(method):
        plain, mirrored = method.attribute(x, target), method.attribute(x.flip(-1), target)
        return (plain + mirrored.flip(-1)) / 2

    expected = mean(LayerGradCam(net, net.relu))
    for name in (*MIRRORED[1:], "own"):
        torch.testing.assert_close(maps[name], expected)
    torch.testing.assert_close(maps[MIRRORED[0]], mean(ClusteredLayerCAM(net, net.relu)))
    examples = result.costs()["forward_examples"]
    assert examples[[*MIRRORED, "own", three]].tolist() == [2, 2, 2, 2, 2, 3]
    # The user's object runs the user's network, and nothing else is counted there.
    assert own.attribution.forward_func is net


@pytest.mark.parametrize("fusion", ["mean", "max"])
def test_maps_of_several_layers_are_fused(fusion):
    net, (x, labels, masks) = MlpHead(), pictures()
    layers, maps = [net.trunk, net.relu], {}
    target = net(x).argmax(1)

    def fused(method):
        both = [method(net, layer) for layer in layers]
        return MultiLayerAttribution(both, fusion).attribute(x, target)

    own = MultiLayerAttribution([LayerGradCam(net, layer) for layer in layers], fusion)
    methods = [
        "ClusteredLayerCAM",
        "TestTimeAugmentation(LayerGradCam, views=['identity'])",
        {"factory": LayerGradCam, "own": own, "own layer": LayerGradCam(net, net.conv)},
    ]
    spy = {"spy": lambda case: maps.setdefault(case.method, case.attributions).mean((1, 2, 3))}
    result = compare(
        net, layers, (x, labels, masks), methods, spy, fusion=fusion, show_progress=False
    )
    assert not len(result.failures)
    torch.testing.assert_close(maps["ClusteredLayerCAM"], fused(ClusteredLayerCAM))
    for name in ("LayerGradCam", methods[1], "factory", "own"):
        torch.testing.assert_close(maps[name], fused(LayerGradCam))
    torch.testing.assert_close(maps["own layer"], LayerGradCam(net, net.conv).attribute(x, target))
    # A control that does not depend on the layer is what it was.
    assert torch.equal(maps["mask"], masks[:, None])
    assert maps["Fake-CAM"].unique().tolist() == [0, 1]
    examples = result.costs()["forward_examples"]
    assert examples["ClusteredLayerCAM"] == 2
    # The user's object runs the user's network.
    assert own.attributions[0].forward_func is net


def test_each_of_several_layers_is_checked():
    net = MlpHead()
    with pytest.raises(ValueError, match=r"layer 'head' .* must have one map"):
        compare(net, [net.relu, net.head], pictures()[0])


def test_texts_may_hold_texts():
    name = "TestTimeAugmentation('ClusteredLayerCAM (mirrored)', views=['identity', 'gain(0.5)'])"
    result = run(methods=[name], metrics="complexity")
    assert result.costs()["forward_examples"][name] == 4


def test_captums_methods_without_target():
    net = MlpHead()
    result = run(net, methods={"activation": LayerActivation(net, net.relu)}, metrics="complexity")
    assert not len(result.failures)


def test_a_users_metrics():
    def spread(case):
        assert case.masks.shape == (2, 1, 12, 10)
        return case.attributions.std((1, 2, 3))

    result = run(metrics=["complexity", {"spread": spread, "best": Metric(spread, "higher")}])
    assert result.directions == {"complexity": "lower", "spread": None, "best": "higher"}
    assert (values(result, "random", "spread") == values(result, "random", "best")).all()


def test_streaming_and_tensors_are_the_same():
    x, labels, masks = pictures()
    whole = run(data=(x, labels, masks))
    loader = DataLoader(TensorDataset(x, labels, masks), batch_size=2)
    assert run(data=loader).values.equals(whole.values)
    batches = (tuple(part[i : i + 2] for part in (x, labels, masks)) for i in range(0, 6, 2))
    assert run(data=batches).values.equals(whole.values)


def test_a_stream_is_taken_one_batch_at_a_time():
    finished = []

    def stream():
        x, *_ = pictures()
        for i in range(3):
            # Nothing of batch i + 1 is asked for before batch i is through all methods.
            assert len(finished) == i * 6
            yield x[2 * i : 2 * i + 2]

    def log(case):
        finished.append(case.method)
        return torch.zeros(len(case.inputs))

    run(data=stream(), metrics={"log": log})
    assert len(finished) == 18


class BadImage(nn.Module):
    """Raises on images whose first pixel is 99."""

    def __init__(self):
        super().__init__()
        self.net = MlpHead()
        self.relu = self.net.relu
        self.eval()

    def forward(self, x):
        if (x[:, 0, 0, 0] == 99).any():
            raise RuntimeError("cannot decode")
        return self.net(x)


def test_one_bad_image_costs_its_own_rows_only():
    net = BadImage()
    x, labels, masks = pictures()
    good = run(net, (x, labels, masks))
    x = x.clone()
    x[3, 0, 0, 0] = 99
    with pytest.warns(UserWarning, match="the model failed on 1 image .RuntimeError: cannot dec"):
        result = run(net, (x, labels, masks))
    assert result.failures.to_dict("records") == [
        {
            "image": 3,
            "method": "",
            "metric": "",
            "error": "RuntimeError",
            "message": "cannot decode",
        }
    ]
    assert result.values["image"].unique().tolist() == [0, 1, 2, 4, 5]
    kept = good.values[good.values["image"] != 3].reset_index(drop=True)
    torch.testing.assert_close(
        torch.tensor(result.values["value"]), torch.tensor(kept["value"]), rtol=1e-4, atol=1e-5
    )
    assert result.values.drop(columns="value").equals(kept.drop(columns="value"))


def test_an_image_that_is_not_finite_is_a_bad_image():
    x, *_ = pictures()
    x[0, 0] = float("nan")
    with pytest.warns(UserWarning, match="logits that are not finite"):
        result = run(data=x)
    assert set(result.failures["image"]) == {0}


def test_one_failing_method_costs_its_own_rows_only():
    class Failing(Halved):
        def attribute(self, inputs, target=None, attribute_to_layer_input=False):
            if (inputs[:, 0, 0, 0] > 0).any():
                raise RuntimeError("no")
            return super().attribute(inputs, target)

    def broken(forward_func, layer):
        raise ImportError("missing")

    net = MlpHead()
    x, *_ = pictures()
    good = run(net, x, ["LayerGradCam"])
    with pytest.warns(UserWarning, match="failing failed on"):
        result = run(net, x, ["LayerGradCam", {"failing": Failing, "broken": broken}])
    bad = (x[:, 0, 0, 0] > 0).nonzero().flatten().tolist()
    assert 0 < len(bad) < 6
    failures = result.failures
    assert failures[failures["method"] == "failing"]["image"].tolist() == bad
    assert len(failures[failures["method"] == "broken"]) == 6
    frame = result.values
    assert len(frame[frame["method"] == "failing"]) == 2 * (6 - len(bad))
    others = frame[~frame["method"].isin(["failing", "broken"])]
    assert others["value"].tolist() == good.values["value"].tolist()
    row = result.summary().set_index(["metric", "method"]).loc[("coherency", "failing")]
    assert (row["n"], row["missing"]) == (6 - len(bad), len(bad))
    assert "Failures:" in result.to_markdown()


def test_one_failing_metric_costs_its_own_rows_only():
    def moody(case):
        if case.method == "random" and len(case.inputs) > 1:
            raise RuntimeError("too many")
        if case.method == "LayerGradCam":
            raise RuntimeError("never")
        return torch.full((len(case.inputs),), float("nan"))

    with pytest.warns(UserWarning, match="LayerGradCam, moody, failed on 6 images"):
        result = run(metrics=["complexity", {"moody": moody}])
    assert set(result.failures["method"]) == {"LayerGradCam"}
    assert len(values(result, "random", "moody")) == 6
    assert not len(values(result, "LayerGradCam", "moody"))
    assert len(values(result, "LayerGradCam", "complexity")) == 6


def test_global_generators_are_left_alone_and_seeds_matter():
    net = MlpHead()
    state = torch.random.get_rng_state()
    first = run(net, metrics=["infidelity", "max-sensitivity"])
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(5)
    assert run(net, metrics=["infidelity", "max-sensitivity"]).values.equals(first.values)
    other = run(net, metrics=["infidelity", "max-sensitivity"], seed=1)
    assert not other.values.equals(first.values)


def test_maps_without_anything_positive():
    class Negative(Halved):
        def attribute(self, *args, **kwargs):
            return -super().attribute(*args, **kwargs).abs() - 1

    result = run(methods={"negative": Negative}, metrics=list(METRICS))
    assert not len(result.failures)
    missing = result.summary().set_index(["metric", "method"])["missing"]
    assert missing["energy in mask", "negative"] == 6


def test_progress_bar(capfd):
    run(show_progress=True)
    assert "comparison" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"methods": ["LayerGradCAM"]}, ValueError, "no 'LayerGradCAM'.*mean 'LayerGradCam'"),
        (
            {"methods": ["ClusteredLayerCAM(fast=True)"]},
            ValueError,
            "ClusteredLayerCAM has no 'fast'; accepted are clusterer, scaling, importance, .*dim",
        ),
        ({"methods": ["ClusteredLayerCAM(20)"]}, ValueError, "give arguments by name"),
        ({"methods": ["ClusteredLayerCAM(seed=f())"]}, ValueError, "seed must be a number, a text"),
        (
            {"methods": ["ClusteredLayerCAM(seed=1"]},
            ValueError,
            "methods has no 'Clustered.*Accepted",
        ),
        ({"methods": ["f(seed=1)"]}, ValueError, "methods has no 'f.seed=1.'"),
        ({"methods": ["ClusteredLayerCAM(**{})"]}, ValueError, "give arguments by name"),
        (
            {"methods": ["TestTimeAugmentation(LayerGradCAM)"]},
            ValueError,
            "no 'LayerGradCAM'.*mean 'LayerGradCam'",
        ),
        (
            {"methods": ["TestTimeAugmentation(LayerGradCam, view=['hflip'])"]},
            ValueError,
            "TestTimeAugmentation has no 'view'; accepted are views, views_per_eval, grid, n_pre",
        ),
        (
            {"methods": ["TestTimeAugmentation(LayerGradCam, views=['hflipp'])"]},
            ValueError,
            "'hflipp' is not one of.*Did you mean 'hflip'",
        ),
        (
            {"methods": ["TestTimeAugmentation(LayerGradCam, ['hflip'])"]},
            ValueError,
            r"by name, such as TestTimeAugmentation\(LayerGradCam, views=\['hflip'\]\)",
        ),
        ({"methods": ["TestTimeAugmentation()"]}, ValueError, "give arguments by name"),
        ({"methods": ["TestTimeAugmentation(mask)"]}, ValueError, "'mask' is a control"),
        ({"methods": ["TestTimeAugmentation(f(x))"]}, ValueError, r"methods has no 'f\(x\)'"),
        ({"methods": ["TestTimeAugmentation(3)"]}, ValueError, "methods has no '3'"),
        ({"methods": ["ClusteredLayerCAM(scaling='x')"]}, ValueError, "scaling='x' must be"),
        ({"methods": ["LayerGradCam"] * 2}, ValueError, "'LayerGradCam' twice"),
        ({"methods": 3}, TypeError, "methods must be a list of names"),
        ({"methods": [3]}, TypeError, "methods must be names"),
        ({"methods": {"a": 3}}, TypeError, "methods\\['a'\\] must be a LayerAttribution"),
        ({"methods": {"a": nn.ReLU}}, TypeError, "got ReLU"),
        ({"methods": {"random": Halved}}, ValueError, "name of a control"),
        ({"methods": ["mask"], "data": pictures()[0]}, ValueError, "needs masks"),
        ({"metrics": ["averge drop"]}, ValueError, "Did you mean 'average drop'"),
        ({"metrics": ["IoU"], "data": pictures()[0]}, ValueError, "needs masks"),
        ({"metrics": []}, ValueError, "at least one metric"),
        ({"metrics": {"a": 3}}, TypeError, "metrics\\['a'\\]"),
        ({"methods": ["ClusteredLayerCAM(seed=1, seed=2)"]}, ValueError, "sets seed twice"),
        ({"reference": "nobody"}, ValueError, "reference='nobody'"),
        ({"reference": 3}, TypeError, "reference must be the name of a method or None; got int"),
        ({"reference": ["LayerGradCam"]}, TypeError, "reference must be .*got list"),
        ({"score": ["logit"]}, ValueError, r"score=\['logit'\] must be one of"),
        ({"target": [1, 2]}, ValueError, r"target=\[1, 2\] must be"),
        ({"target": True}, ValueError, "target=True must be"),
        ({"score": "odds"}, ValueError, "score='odds' must be one of 'logit'"),
        ({"target": "both"}, ValueError, "target='both'"),
        ({"target": 3}, ValueError, "from 0 to 2"),
        ({"target": "label", "data": pictures()[0]}, ValueError, "needs labels"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"layer": "relu"}, TypeError, "layer must be a torch.nn.Module or a list .*; got str"),
        ({"layer": [nn.ReLU(), "relu"]}, TypeError, "layer must be .* or a list .*; got str"),
        ({"layer": []}, ValueError, "layer must be .* or a list of them; got an empty list"),
        ({"fusion": "sum"}, ValueError, "fusion='sum' must be 'mean' or 'max'"),
        ({"forward_func": 3}, TypeError, "forward_func must be callable; got int"),
        ({"data": 3}, TypeError, "data must be a tensor"),
        ({"data": []}, ValueError, "at least one batch"),
        ({"data": {"a": 1}}, TypeError, "got dict"),
        ({"data": [pictures()[0].numpy()]}, TypeError, "got a batch of ndarray"),
        ({"data": pictures()[0][:0]}, ValueError, "at least one image"),
        ({"data": (pictures()[0], torch.zeros(6))}, ValueError, "labels must be integers"),
        ({"data": (*pictures()[:2], torch.zeros(6, 3, 3))}, ValueError, "masks must be of shape"),
        ({"data": [pictures()[0], pictures()]}, ValueError, "labels in all batches"),
        ({"forward_func": lambda x: x[:, 0]}, ValueError, "logits of shape"),
        ({"forward_func": lambda x: torch.zeros(1, 3)}, ValueError, "each of the 2 images; got 1"),
    ],
)
def test_mistakes(change, error, message):
    net = MlpHead()
    arguments = {
        "forward_func": net,
        "layer": net.relu,
        "data": pictures(),
        "methods": ["LayerGradCam"],
        "batch_size": 2,
    }
    with pytest.raises(error, match=message):
        compare(**arguments | FAST | change)


def test_a_factory_must_make_a_layer_attribution():
    with pytest.warns(UserWarning, match="must make a LayerAttribution; got int"):
        run(methods={"a": lambda forward_func, layer: 3})


def test_integers_may_be_numpys(tmp_path):
    numbers = {"target": 1, "seed": 3, "batch_size": 4}
    expected = run(**numbers, save_to=tmp_path)
    again = run(**{name: np.int64(value) for name, value in numbers.items()}, save_to=tmp_path)
    assert again.values.equals(expected.values)


def test_energy_in_mask_is_not_reported_twice():
    names = run(metrics=None, methods=[], data=pictures(2)).directions
    assert "energy lesion" in names
    assert "energy in mask" not in names


def test_no_reference():
    result = run(methods=["ClusteredLayerCAM"], reference=None)
    assert "LayerGradCam" not in result.methods
    assert result.summary()["difference"].isna().all()
    assert "differs" not in result.to_markdown()


def test_random_control_is_the_comparisons_seed():
    net = MlpHead()
    x, *_ = pictures()
    seen = []

    def spy(case):
        seen.append((case.method, case.attributions))
        return case.attributions.mean((1, 2, 3))

    run(net, x, metrics={"spy": spy}, seed=4, batch_size=6)
    assert torch.equal(dict(seen)["random"], RandomMap(net, net.relu, 4).attribute(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda maps: maps.flatten(2), "must be one tensor .N, channels"),
        (lambda maps: (maps, maps), "got tuple for images"),
        (lambda maps: maps / 0, "values that are not finite"),
    ],
)
def test_maps_that_are_none(change, message):
    class Odd(Halved):
        def attribute(self, *args, **kwargs):
            return change(super().attribute(*args, **kwargs))

    with pytest.warns(UserWarning, match=message):
        result = run(methods={"odd": Odd})
    assert "odd" not in set(result.frame["method"])


def test_a_method_that_knows_only_outputs_of_layers():
    class OutputOnly(Halved):
        def attribute(self, inputs, target=None):
            return super().attribute(inputs, target)

    assert not len(run(methods={"output": OutputOnly}).failures)
    with pytest.warns(UserWarning, match="no attribute_to_layer_input"):
        run(methods={"output": OutputOnly}, attribute_to_layer_input=True)


def test_a_metric_must_give_one_value_for_each_image():
    with pytest.warns(UserWarning, match="one value for each image, shape .1,.; got float"):
        run(metrics={"mean": lambda case: 0.5})


@pytest.mark.parametrize("target", ["prediction", "label", 0])
def test_a_single_logit_has_two_classes(target):
    """As in a network that returns 0 and the logit, whose margins are minus and plus the logit."""

    class Double(MlpHead):
        def forward(self, x):
            z = super().forward(x)[:, :1]
            z = z - 2.55
            return torch.cat([torch.zeros_like(z), z], 1)

    class Single(Double):
        def forward(self, x):
            return super().forward(x)[:, 1:]

    x, labels, _ = pictures()
    data = x, labels % 2
    frames = []
    for kind, score in ((Single, "logit"), (Double, "margin")):
        net = kind()
        # An attribution of the user, which explains the network itself.
        mine = {"mine": LayerGradCam(net if score == "logit" else scores.margin(net), net.relu)}
        result = run(
            net, data, ["ClusteredLayerCAM(clusterer=3)", mine], score=score, target=target
        )
        assert not len(result.failures)
        timed = [name for name in result.frame if "seconds" in name]
        frames.append(result.frame.drop(columns=timed))
    assert len(set(frames[0]["prediction"])) == 2
    pd.testing.assert_frame_equal(*frames, check_exact=False, rtol=1e-4, atol=1e-5)
