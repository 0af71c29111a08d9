"""What users' data, models and methods do to a comparison, and what it does to them."""

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from nets import GapLinear, MlpHead, TwoTensors
from small_comparisons import FAST, pictures, run
from torch import nn

from captum_clustered.comparison import compare
from captum_clustered.comparison.methods import make_methods
from captum_clustered.comparison.pictures import Pictures


def loader_of(x, labels=None, size=2):
    for start in range(0, len(x), size):
        part = x[start : start + size]
        yield part if labels is None else (part, labels[start : start + size])


@pytest.mark.parametrize("label", [7, -1])
def test_an_image_whose_label_is_no_class_is_left_out(label):
    x, labels, _ = pictures()
    labels = labels.clone()
    labels[3] = label
    data = list(loader_of(x, labels))
    message = f"label {label} is none of forward_func's 3 classes, 0 to 2"
    with pytest.warns(UserWarning, match=message):
        result = run(data=data, target="label")
    assert result.failures["image"].tolist() == [3]
    assert result.frame["image"].unique().tolist() == [0, 1, 2, 4, 5]
    facts = result.frame.drop_duplicates("image")
    assert facts["target"].tolist() == [0, 1, 2, 1, 2]
    # As a prediction is explained, such a label is no obstacle.
    assert not len(run(data=data).failures)


def test_labels_that_are_no_classes_at_all():
    x, *_ = pictures()
    with pytest.warns(UserWarning, match="on 6 images"):
        result = run(data=(x, torch.full((6,), 9)), target="label")
    assert result.frame.empty


class LoaderError(Exception):
    pass


def test_a_loader_that_raises_in_the_middle(tmp_path):
    x, *_ = pictures()

    def stream(fails):
        yield from loader_of(x[:4])
        if fails:
            raise LoaderError("cannot read image 4")
        yield x[4:]

    with pytest.warns(UserWarning, match="data raised after 4 images: cannot read image 4"):
        result = run(data=stream(fails=True), save_to=tmp_path)
    assert result.frame["image"].unique().tolist() == [0, 1, 2, 3]
    (failure,) = result.failures.to_dict("records")
    assert pd.isna(failure["image"])
    assert failure["error"] == "LoaderError"
    assert "data raised after 4 images" in result.to_markdown()
    again = run(data=stream(fails=False), save_to=tmp_path)
    assert not len(again.failures)
    assert again.values.equals(run(data=list(loader_of(x))).values)


def test_a_loader_that_raises_at_once_or_is_interrupted():
    def at_once():
        raise LoaderError("no")
        yield

    def interrupted():
        yield pictures()[0]
        raise KeyboardInterrupt

    with pytest.raises(LoaderError, match=r"^no$"):
        run(data=at_once())
    with pytest.raises(KeyboardInterrupt):
        run(data=interrupted())


def test_images_and_labels_in_a_list_are_no_batches():
    x, labels, _ = pictures()
    with pytest.raises(TypeError, match=r"give a tuple \(inputs, labels"):
        run(data=[x, labels])
    assert not len(run(data=[x, x]).failures)


def test_one_image_without_the_dimension_of_images():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(1)).eval()
    with pytest.raises(ValueError, match=r"data's images have shape .*give image\[None\]"):
        compare(net, net[0], torch.rand(1, 9, 9), ["LayerGradCam"], **FAST)
    net = GapLinear()
    with pytest.raises(ValueError, match=r"data's images have shape .*give image\[None\]"):
        compare(net, net.conv, pictures(1, (6, 5))[0][0], ["LayerGradCam"], **FAST)


class Returning(LayerGradCam):
    """Any maps."""

    def __init__(self, forward_func, layer, make):
        super().__init__(forward_func, layer)
        self.make = make

    def attribute(self, inputs, target=None, attribute_to_layer_input=False):
        return self.make(inputs)


def of_size_by_image(inputs):
    if len(inputs) > 1:
        raise RuntimeError("one at a time")
    return torch.rand(1, 1, 2 + int(inputs[0, 0, 0, 0] > pictures()[0][0, 0, 0, 0]), 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: torch.zeros(len(x), 1, 0, 0), "real numbers and not empty; got torch.float32"),
        (lambda x: torch.zeros(len(x), 0, 4, 4), "not empty"),
        (lambda x: torch.zeros(len(x), 1, 4, 4, dtype=torch.complex64), "got torch.complex64"),
        (of_size_by_image, "the same shape for all images of a batch; got .1, 2, 3. and .1, 3, 3"),
    ],
)
def test_odd_maps_cost_their_own_method_only(make, message):
    good = run(methods=["LayerGradCam"])
    odd = {"odd": lambda forward_func, layer: Returning(forward_func, layer, make)}
    with pytest.warns(UserWarning, match=message):
        result = run(methods=["LayerGradCam", odd])
    failures = result.failures
    assert set(failures["method"]) == {"odd"}
    assert set(result.values["method"]) >= {"LayerGradCam", "mask"}
    others = result.values[result.values["method"] != "odd"]
    assert others["value"].tolist() == good.values["value"].tolist()


def test_whatever_is_made_of_the_maps_costs_their_method_only(monkeypatch):
    def no_pictures(*args):
        raise MemoryError("no room")

    monkeypatch.setattr(Pictures, "add", no_pictures)
    with pytest.warns(UserWarning, match="no room"):
        result = run(methods=["LayerGradCam"])
    assert set(result.failures["image"]) == set(range(6))


def test_maps_in_half_precision_are_summed_in_full():
    def make(inputs):
        return torch.full((len(inputs), 512, 2, 2), 200.0, dtype=torch.float16)

    half = {"half": lambda forward_func, layer: Returning(forward_func, layer, make)}
    assert not len(run(methods=half, metrics=["complexity"]).failures)


class Scaling(nn.Module):
    """A network that normalizes its images, by hand."""

    def __init__(self, in_place):
        super().__init__()
        self.net, self.in_place = MlpHead(), in_place
        self.relu = self.net.relu
        self.eval()

    def forward(self, x):
        return self.net(x.sub_(0.3).div_(0.5) if self.in_place else (x - 0.3) / 0.5)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_a_model_that_works_in_place_on_its_input(is_frozen):
    x, labels, masks = pictures()
    before = x.clone()
    methods = ["LayerGradCam", "ClusteredLayerCAM(clusterer=3)", "LayerFeatureAblation"]
    options = {"metrics": ["average drop", "insertion", "ADCC", "infidelity", "max-sensitivity"]}
    found, expected = (
        run(Scaling(in_place).requires_grad_(not is_frozen), (x, labels, masks), methods, **options)
        for in_place in (True, False)
    )
    assert torch.equal(x, before)
    assert not len(found.failures)
    torch.testing.assert_close(
        torch.tensor(found.values["value"]), torch.tensor(expected.values["value"])
    )


def test_grad_cams_methods_on_a_model_that_works_in_place():
    pytest.importorskip("pytorch_grad_cam")
    x, *_ = pictures()
    methods = ["GradCAM++", "ScoreCAM", "AblationCAM (grad-cam)"]
    found, expected = (run(Scaling(in_place), x, methods) for in_place in (True, False))
    assert not len(found.failures)
    assert found.values.equals(expected.values)


def test_methods_and_metrics_that_work_in_place():
    class Zeroing(LayerGradCam):
        def attribute(self, inputs, target=None, attribute_to_layer_input=False):
            maps = super().attribute(inputs, target)
            inputs.zero_()
            return maps

    def zeroing(case):
        found = case.attributions.mean((1, 2, 3))
        probabilities = case.probability(case.inputs)
        for tensor in (case.inputs, case.attributions, case.target, case.masks, probabilities):
            tensor.zero_()
        return found

    x, labels, masks = pictures()
    before = [tensor.clone() for tensor in (x, labels, masks)]
    names = ["average drop", "IoU"]
    data = [(x, labels, masks)]
    good = run(data=data, methods=["LayerGradCam"], metrics=names)
    result = run(
        data=data,
        methods=[{"own": Zeroing}, "LayerGradCam"],
        metrics=[{"zeroing": zeroing}, *names],
    )
    for tensor, copied in zip((x, labels, masks), before, strict=True):
        assert torch.equal(tensor, copied)
    kept = result.values[
        (result.values["method"] != "own") & (result.values["metric"] != "zeroing")
    ]
    assert kept["value"].tolist() == good.values["value"].tolist()
    own = result.values[(result.values["method"] == "own") & (result.values["metric"] == "IoU")]
    grad_cam = kept[(kept["method"] == "LayerGradCam") & (kept["metric"] == "IoU")]
    assert own["value"].tolist() == grad_cam["value"].tolist()


class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm, self.dropout = nn.BatchNorm2d(4), nn.Dropout()
        self.fc = nn.Linear(4, 3)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.fc(self.dropout(self.norm(self.conv(x)).mean((2, 3))))


@pytest.mark.parametrize("is_hidden", [False, True])
def test_a_model_in_training_mode_is_left_as_it_was(is_hidden):
    net = Stateful()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    forward_func = (lambda x: net(x)) if is_hidden else net
    with pytest.warns(UserWarning, match=r"in training mode.*Call model\.eval") as caught:
        first = compare(forward_func, net.conv, pictures()[0], ["LayerGradCam"], **FAST)
    assert len([w for w in caught if "training mode" in str(w.message)]) == 1
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training
    assert net.calls == 0
    torch.manual_seed(9)
    with pytest.warns(UserWarning, match="training mode"):
        again = compare(forward_func, net.conv, pictures()[0], ["LayerGradCam"], **FAST)
    assert again.values.equals(first.values)


def test_one_layer_in_training_mode_is_enough_for_a_warning():
    net = Stateful().eval()
    net.norm.train()
    with pytest.warns(UserWarning, match="training mode"):
        compare(net, net.conv, pictures()[0], ["LayerGradCam"], **FAST)


@pytest.mark.parametrize(
    ("final", "remark"),
    [
        (lambda y: y.softmax(1), "seems to return probabilities.*sum to 1.*must return logits"),
        (torch.sigmoid, "may return probabilities.*If a sigmoid .*--multi-label"),
        (lambda y: y[:, :1].sigmoid(), "may return probabilities.*If a sigmoid"),
        # Cosines of features after a ReLU are logits.
        (lambda y: F.normalize(y.relu() + 0.1, dim=1), "may return probabilities"),
    ],
)
def test_probabilities_in_the_place_of_logits(final, remark):
    net = MlpHead()
    with pytest.warns(UserWarning, match=remark) as w:
        compare(lambda x: final(net(x)), net.relu, pictures()[0], ["LayerGradCam"], **FAST)
    assert len(w) == 1


@pytest.mark.filterwarnings("error")
def test_logits_may_lie_between_zero_and_one():
    net, x = MlpHead(), pictures()[0]
    first = net(x[:1]).detach()
    shifted = lambda x: net(x) - first + 0.5  # noqa: E731
    assert ((shifted(x[:1]) >= 0) & (shifted(x[:1]) <= 1)).all()
    compare(shifted, net.relu, x, ["LayerGradCam"], **FAST)


def test_multi_label_probabilities_are_sigmoids():
    """The drop of the sigmoid, in per cent of it, when all but the map's maximum is removed."""
    net, (x, _, _) = MlpHead(), pictures()
    seen = {}

    def probe(case):
        seen["p"] = case.probability(case.inputs)
        return torch.zeros(len(case.inputs))

    compare(net, net.relu, x, ["LayerGradCam"], {"p": probe}, score="sigmoid", batch_size=6)
    torch.testing.assert_close(seen["p"], net(x).sigmoid())


def test_images_without_an_object_are_missing_in_metrics_of_place():
    x, labels, masks = pictures()
    masks[[1, 4]] = 0
    names = ["pointing game", "energy in mask", "IoU", "energy ring", "complexity"]
    result = run(data=(x, labels, masks), metrics=names)
    assert not len(result.failures)
    summary = result.summary().set_index(["metric", "method"])
    for method in result.methods:
        assert summary.loc[("pointing game", method), ["n", "missing"]].tolist() == [4, 2]
        assert summary.loc[("IoU", method), "missing"] == 2
        assert summary.loc[("complexity", method), "missing"] == 0
    assert summary.loc[("IoU", "mask"), "mean"] == 1


class Mute(nn.Module):
    """With layers that are no maps, or are not called."""

    def __init__(self):
        super().__init__()
        self.net = GapLinear()
        self.unused = nn.ReLU()
        self.eval()

    def forward(self, x):
        return self.net(x)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unused", "layer 'unused' .ReLU. was not reached"),
        ("net.fc", r"layer 'net.fc' .Linear. must have one map.*has \(1, 3\)"),
        ("", r"must have one map"),
    ],
)
def test_a_layer_that_is_no_map_of_the_model(name, message):
    net = Mute()
    with pytest.raises(ValueError, match=message):
        compare(net, net.get_submodule(name), pictures()[0], [], **FAST)
    # Its input is one.
    if not name:
        compare(net, net, pictures()[0], [], attribute_to_layer_input=True, **FAST)


def test_a_layer_of_another_model():
    net = MlpHead()
    with pytest.raises(ValueError, match="was not reached"):
        compare(net, MlpHead().relu, pictures()[0], ["LayerGradCam"], **FAST)


def test_a_layer_of_two_tensors():
    net = TwoTensors()
    model = type("Two", (nn.Module,), {"forward": lambda self, x: torch.stack([net(x)] * 2, 1)})()
    with pytest.raises(ValueError, match=r"must have one map.*\(1, 2, 6, 6\) and \(1, 2, 3, 3\)"):
        compare(model.eval(), net.split, torch.rand(2, 4, 6, 6), ["LayerGradCam"], **FAST)


def test_curves_of_a_metric_that_is_evaluated_image_by_image():
    class OneByOne(nn.Module):
        def __init__(self, limit):
            super().__init__()
            self.net, self.limit = MlpHead(), limit
            self.relu = self.net.relu
            self.eval()

        def forward(self, x):
            if len(x) > self.limit:
                raise RuntimeError("out of memory")
            return self.net(x)

    names = ["insertion", "insertion - deletion"]
    found, expected = (
        run(OneByOne(limit), methods=["LayerGradCam"], metrics=names) for limit in (1, 99)
    )
    assert not len(found.failures)
    assert found.curves.keys() == expected.curves.keys()
    for method, curves in expected.curves.items():
        assert found.curves[method].keys() == curves.keys() == {"insertion blur", "deletion blur"}
        for name, curve in curves.items():
            assert found.curves[method][name] == pytest.approx(curve, abs=1e-5)
    found.plot("curves")


def test_a_method_that_cannot_be_made_holds_on_to_nothing():
    def broken(forward_func, layer):
        raise RuntimeError("never")

    net = MlpHead()
    method = make_methods({"broken": broken}, net, [net.relu], None, has_masks=False, seed=0)[0]
    depths = []
    for _ in range(5):
        with pytest.raises(RuntimeError, match="never") as caught:
            method.built()
        depths.append(len(caught.traceback))
    assert len(set(depths)) == 1
