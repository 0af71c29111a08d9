import json
import os
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from forks import exit_code
from nets import MlpHead
from small_runs import UNREADABLE, N, Pictures, contents, method, run
from torch.utils.data import TensorDataset

from captum_clustered import ClusteredLayerCAM, scores
from captum_clustered.dataset_run import Run
from captum_clustered.dataset_run import run as run_module
from captum_clustered.test_time_augmentation import TestTimeAugmentation

COLUMNS = ["index", "scale", "attribution"]


def expected(index, target=None, cam=None, **options):
    cam = cam or method()
    x = Pictures()[index][0][None]
    target = cam.forward_func(x).argmax(1) if target is None else target
    return cam.attribute(x, target, return_clusters=True, **options)


def test_each_image_has_its_attribution_and_clusters(tmp_path):
    found = run(tmp_path / "out")
    table = found.table()
    maps = found.attributions(table)
    assert table["index"].to_pylist() == list(range(N))
    assert table["item"].to_pylist() == [str(index) for index in range(N)]
    predictions = set()
    for row, map_ in zip(table.to_pylist(), maps, strict=True):
        index = row["index"]
        if index in UNREADABLE:
            assert np.isnan(map_).all()
            continue
        attribution, clusters = expected(index)
        # Half precision has 11 bits.
        limit = float(attribution.abs().max()) * 2**-11
        torch.testing.assert_close(torch.tensor(map_), attribution[0, 0], atol=limit, rtol=1e-4)
        torch.testing.assert_close(torch.tensor(row["importances"]), clusters.importances[0])
        assert row["sizes"] == clusters.sizes[0].tolist()
        assert row["score"] == pytest.approx(float(clusters.score), abs=1e-5)
        assert row["baseline_score"] == pytest.approx(float(clusters.baseline_score), abs=1e-5)
        assert row["target"] == row["prediction"]
        assert row["label"] == index % 3
        predictions.add(row["prediction"])
    assert len(predictions) > 1


def test_baselines_and_perturbations_reach_the_method(tmp_path):
    options = {"layer_baselines": 0.25, "perturbations_per_eval": 2}
    found = run(tmp_path, **options)
    for row in found.table().to_pylist():
        if row["index"] not in UNREADABLE:
            _, clusters = expected(row["index"], layer_baselines=0.25)
            torch.testing.assert_close(torch.tensor(row["importances"]), clusters.importances[0])
    with pytest.raises(ValueError, match=r"layer_baselines was 0\.25 and is None"):
        run(tmp_path)
    with pytest.raises(ValueError, match="layer_baselines must be a number for a run; got Tensor"):
        run(tmp_path, layer_baselines=torch.zeros(1))


def test_views(tmp_path):
    views = ("identity", "vflip", "hflip")
    found = run(tmp_path, views=views)
    maps = found.attributions(found.table(COLUMNS))
    mean, predictions = TestTimeAugmentation(method(), views), set()
    for row in found.table().to_pylist():
        index = row["index"]
        if index in UNREADABLE:
            assert row["error"] == "image file is truncated"
            continue
        # Prediction, score, importances and sizes are those of the image itself, the first view.
        _, clusters = expected(index)
        torch.testing.assert_close(torch.tensor(row["importances"]), clusters.importances[0])
        assert row["sizes"] == clusters.sizes[0].tolist()
        assert row["score"] == pytest.approx(float(clusters.score), abs=1e-5)
        x = Pictures()[index][0][None]
        seen = [int(method().forward_func(image).argmax()) for image in (x, x.flip(-1), x.flip(-2))]
        assert row["prediction"] == row["target"] == seen[0]
        predictions.add(tuple(seen))
        attribution = mean.attribute(x, seen[0])
        limit = float(attribution.abs().max()) * 2**-11
        torch.testing.assert_close(
            torch.tensor(maps[index]), attribution[0, 0], atol=limit, rtol=1e-3
        )
    # The views of some image have other predictions.
    assert any(len(set(seen)) > 1 for seen in predictions)


@pytest.mark.parametrize("target", [1, "label"])
def test_a_mirror_image_has_the_mirrored_map(tmp_path, target):
    x = torch.randn(1, 2, 12, 10, generator=torch.Generator().manual_seed(0))
    pair = TensorDataset(torch.cat([x, x.flip(-1)]), torch.tensor([2, 2]))
    found = run(tmp_path, pair, views=["identity", "hflip"], target=target)
    one, other = found.attributions(found.table(COLUMNS))
    np.testing.assert_allclose(one, other[:, ::-1], rtol=1e-3, atol=1e-4)
    assert found.manifest.settings["views"] == ["identity", "hflip"]


def test_views_take_memory(tmp_path):
    sizes = []
    for views in ((), ("identity", "hflip", "vflip", "hflip+vflip")):
        options = {"batch_size": None, "chunk_size": 64, "memory": 10**6}
        sizes.append(run(tmp_path / str(len(views)), views=views, **options).manifest.batch_size)
    assert sizes[0] == 4 * sizes[1] < 64


def test_images_that_cannot_be_read_are_listed_with_the_reason(tmp_path):
    found = run(tmp_path, names=[f"scan {i}" for i in range(N)])
    errors = [(f"scan {index}", "image file is truncated") for index in UNREADABLE]
    assert found.errors() == errors
    lines = (tmp_path / "errors.csv").read_text().splitlines()
    assert lines == ["item,error", *(",".join(error) for error in errors)]


@pytest.mark.parametrize("target", ["label", 2])
def test_the_class_that_is_explained(tmp_path, target):
    table = run(tmp_path, target=target).table(["index", "target", "prediction", "importances"])
    rows = [row for row in table.to_pylist() if row["index"] not in UNREADABLE]
    for row in rows:
        assert row["target"] == (row["index"] % 3 if target == "label" else 2)
        _, clusters = expected(row["index"], row["target"])
        torch.testing.assert_close(torch.tensor(row["importances"]), clusters.importances[0])
    assert {row["prediction"] for row in rows} != {row["target"] for row in rows} or (
        target == "label"
    )


def test_a_layers_input_can_be_explained(tmp_path):
    found = run(tmp_path, Pictures(4), attribute_to_layer_input=True)
    attribution, _ = expected(1, attribute_to_layer_input=True)
    np.testing.assert_allclose(
        found.attributions(found.table(COLUMNS))[1], attribution[0, 0], rtol=1e-3, atol=1e-4
    )


def test_maps_of_the_inputs_size(tmp_path):
    class Strided(MlpHead):
        def __init__(self):
            super().__init__()
            self.conv.stride = 2

    net = Strided()
    cam = ClusteredLayerCAM(net, net.relu, clusterer=3)
    found = run(tmp_path, Pictures(4), cam, resolution="input")
    assert found.manifest.attribution_shape == [12, 10]
    attribution, _ = expected(2, cam=cam)
    assert attribution.shape == (1, 1, 6, 5)
    resized = ClusteredLayerCAM.interpolate(attribution, (12, 10), "bilinear")
    stored = torch.tensor(found.attributions(found.table(COLUMNS))[2])
    torch.testing.assert_close(
        stored, resized[0, 0], atol=float(resized.abs().max()) / 1000, rtol=1e-3
    )


def test_scores_whose_drops_half_precision_does_not_know(tmp_path):
    net = MlpHead()
    net.head[3].weight.data *= 1e-6
    cam = ClusteredLayerCAM(net, net.relu, clusterer=3, scaling="density")
    found = run(tmp_path, Pictures(2), cam)
    attribution, _ = expected(1, cam=cam)
    assert attribution.abs().max() < 1e-6
    stored = torch.tensor(found.attributions(found.table(COLUMNS))[1])
    limit = float(attribution.abs().max()) / 1000
    torch.testing.assert_close(stored, attribution[0, 0], atol=limit, rtol=1e-3)


def test_another_batch_size_changes_nothing_but_rounding(tmp_path):
    tables = [
        run(tmp_path / str(size), batch_size=size, chunk_size=8).table() for size in (1, 4, 8)
    ]
    for name in ("score", "importances", "scale"):
        first, *others = (np.concatenate(t[name].drop_null().to_numpy(), None) for t in tables)
        for other in others:
            np.testing.assert_allclose(other, first, rtol=1e-5, atol=1e-5)


def test_one_image_that_the_network_fails_on_is_an_error_alone(tmp_path):
    inputs = torch.randn(4, 2, 8, 8)
    inputs[2, 0, 0, 0] = torch.nan
    found = run(tmp_path, TensorDataset(inputs), batch_size=4)
    [(item, error)] = found.errors()
    assert item == "2"
    assert "NaN or infinite activations" in error
    assert found.table(["score"])["score"].null_count == 1


def test_a_first_image_that_cannot_be_explained_stops_no_other(tmp_path):
    inputs = [(torch.ones(2, 8, 8), label) for label in (7, 1, 2)]
    found = run(tmp_path, inputs, target="label")
    [(item, error)] = found.errors()
    assert item == "0"
    assert "target 7 is out of range" in error
    assert found.table(["target"])["target"].to_pylist() == [None, 1, 2]


def test_inputs_of_another_shape_are_errors(tmp_path):
    inputs = [torch.ones(2, 8, 8), torch.ones(2, 9, 8), torch.ones(2, 8, 8)]
    [(item, error)] = run(tmp_path, inputs).errors()
    assert item == "1"
    assert "(2, 9, 8)" in error
    assert "(2, 8, 8)" in error


def test_items_without_a_label_are_errors_where_it_is_explained(tmp_path):
    inputs = [(torch.ones(2, 8, 8), 1), (torch.ones(2, 8, 8), None)]
    [(item, error)] = run(tmp_path, inputs, target="label").errors()
    assert item == "1"
    assert "no label" in error


def test_the_users_method_is_left_as_it_was(tmp_path):
    cam = method()
    before = dict(vars(cam))
    weights = {name: value.clone() for name, value in cam.forward_func.state_dict().items()}
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    run(tmp_path, Pictures(5), cam, fit=3)
    assert vars(cam) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == n_threads
    for name, value in cam.forward_func.state_dict().items():
        assert torch.equal(value, weights[name])


def test_clusters_are_fitted_once_and_kept(tmp_path, monkeypatch):
    found = run(tmp_path, fit=9)
    items = np.linspace(0, N - 1, 9).round().astype(int)
    reference = method().fit(
        torch.stack([Pictures()[int(i)][0] for i in items if i not in UNREADABLE])
    )
    # Which number a cluster has depends on rounding; which channels it has does not.
    same = reference.labels_[:, None] == reference.labels_[None]
    assert torch.equal(found.cluster_labels[:, None] == found.cluster_labels[None], same)
    sizes = found.table(["sizes"])["sizes"].drop_null().to_pylist()
    assert sizes == [torch.bincount(found.cluster_labels, minlength=3).tolist()] * len(sizes)
    found._store.path(2).unlink()
    monkeypatch.setattr(ClusteredLayerCAM, "fit", lambda *_: pytest.fail("fitted again"))
    assert run(tmp_path, fit=9).is_complete


def test_a_consensus_gives_way_to_fitted_clusters(tmp_path):
    run(tmp_path / "a", Pictures(4), method(n_clusterings=3), fit="all")
    run(tmp_path / "b", Pictures(4), method(), fit=4)
    for name in ("chunk-0000000.parquet",):
        tables = [pq.read_table(tmp_path / x / "chunks" / name) for x in "ab"]
        assert tables[0]["importances"].equals(tables[1]["importances"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cam": lambda: method(clusterer=4)}, "clusterer was 3 and is 4"),
        ({"cam": lambda: method(seed=1)}, "seed was 0 and is 1"),
        ({"target": "label"}, "target was prediction and is label"),
        ({"attribute_to_layer_input": True}, "attribute_to_layer_input was False and is True"),
        ({"views": ["identity", "hflip"]}, r"views was \[\] and is \['identity', 'hflip'\]"),
        ({"resolution": "input"}, "resolution was layer and is input"),
        ({"fit": 5}, "fit was 0 and is 5"),
        ({"batch_size": 4}, "batch_size was 2 and is 4"),
        ({"chunk_size": 8}, "chunk_size was 4 and is 8"),
        ({"dataset": Pictures(N + 1)}, "number of items was 11 and is 12"),
        ({"names": [f"{i}.png" for i in range(N)]}, "data was"),
        ({"about": {"size": 224}}, "size was not given and is 224"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(tmp_path, change, message):
    run(tmp_path)
    before = contents(tmp_path)
    change = {name: value() if callable(value) else value for name, value in change.items()}
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **change)
    assert contents(tmp_path) == before


def test_other_weights_and_scores_are_refused(tmp_path):
    run(tmp_path)
    cam = method()
    cam.forward_func.head[3].bias.data[0] += 1e-4
    with pytest.raises(ValueError, match=r"weights was \w+ and is"):
        run(tmp_path, cam=cam)
    cam = method()
    cam.forward_func = scores.margin(cam.forward_func)
    with pytest.raises(ValueError, match=r"score was nets\.\w+ and is margin of nets\."):
        run(tmp_path, cam=cam)


def test_other_versions_are_remarked_on(tmp_path):
    run(tmp_path)
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text())
    content["made_with"]["torch"] = "1.0"
    path.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=r"begun with torch 1\.0 and now 2"):
        run(tmp_path)


def test_a_finished_run_reads_but_one_image(tmp_path):
    class Counted(Pictures):
        reads = 0

        def __getitem__(self, index):
            Counted.reads += 1
            return super().__getitem__(index)

    first = run(tmp_path, Counted())
    assert Counted.reads == N + 1
    before = contents(tmp_path)
    again = run(tmp_path, Counted())
    assert Counted.reads == N + 2
    assert contents(tmp_path) == before
    assert again.table().equals(first.table())


def test_errors_stay_unless_they_are_to_be_tried_again(tmp_path):
    class Repaired(Pictures):
        def __getitem__(self, index):
            return super().__getitem__(index) if index not in UNREADABLE else Pictures()[0]

    first = run(tmp_path)
    untouched = first._store.path(0).stat().st_mtime_ns
    assert len(run(tmp_path, Repaired()).errors()) == 2
    assert run(tmp_path, Repaired(), retry_errors=True).errors() == []
    assert first._store.path(0).stat().st_mtime_ns == untouched
    assert (tmp_path / "errors.csv").read_text() == "item,error\n"


def test_progress_counts_what_was_there_before(tmp_path):
    calls = []
    run(tmp_path, progress=lambda *call: calls.append(call))
    assert calls[0] == (0, N)
    assert calls[1:] == [(min(n, N), N) for n in range(2, N + 2, 2)]
    (tmp_path / "chunks" / "chunk-0000001.parquet").unlink()
    calls.clear()
    run(tmp_path, progress=lambda *call: calls.append(call))
    assert calls == [(7, N), (9, N), (N, N)]


def test_sizes_are_chosen_once(tmp_path, monkeypatch):
    arguments = {"batch_size": None, "chunk_size": None}
    # One image's input alone has 960 bytes.
    first = run(tmp_path / "a", memory=1000, **arguments)
    assert first.manifest.batch_size == 1
    assert first.manifest.chunk_size == 512
    ample = run(tmp_path / "b", memory=10**9, **arguments)
    assert ample.manifest.batch_size == 64
    # On a CPU, larger batches are slower.
    default = run(tmp_path / "c", **arguments)
    assert default.manifest.batch_size == 8
    again = run(tmp_path / "a", memory=10**9, **arguments)
    assert again.manifest == first.manifest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "best"}, "target='best' must be 'prediction', 'label' or a class"),
        ({"target": -1}, "target=-1 must be"),
        ({"target": 3}, "target 3 is out of range"),
        ({"resolution": "full"}, "resolution='full' must be 'layer' or 'input'"),
        ({"views": ["hflipp"]}, "'hflipp' is not one of .*Did you mean 'hflip'"),
        ({"fit": 0}, "fit=0 must be 'all' or"),
        ({"fit": "some"}, "fit='some' must be 'all' or"),
        ({"batch_size": 0}, "batch_size=0 must be an int of at least 1"),
        ({"memory": 1.5}, "memory=1.5 must be an int"),
        ({"chunk_size": 3}, "chunk_size=3 must be a multiple of batch_size=2"),
        ({"names": ["a"]}, "names has 1 entries for 11 items"),
        (
            {"dataset": [3, 4]},
            "none of the first 2 items of dataset can be read. The first one failed: ",
        ),
        ({"dataset": TensorDataset(torch.ones(0, 2, 8, 8))}, "it is empty"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **arguments)
    assert contents(tmp_path) == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        run(tmp_path / "out")


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OSError, match="out"):
        run(tmp_path / "out")


def test_a_disk_that_is_too_small_is_seen_before_the_work(tmp_path, monkeypatch):
    usage = run_module.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(run_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"11 images need about .* GB \(\d+ bytes each\), and 1e-06"):
        run(tmp_path)
    monkeypatch.undo()
    assert not any("chunk-" in name for name in contents(tmp_path))
    assert run(tmp_path).is_complete


def until_the_disk_is_full(folder):
    import resource

    def progress(done, total):
        if done == 8:
            # From now on files longer than this cannot be written.
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        run(folder, progress=progress)
    except OSError:
        return 77


def test_a_disk_that_becomes_full_spoils_nothing(tmp_path):
    assert exit_code(until_the_disk_is_full, tmp_path / "a") == 77
    found = Run(tmp_path / "a")
    assert len(found.table()) == 4
    assert not found.is_complete
    run(tmp_path / "a")
    run(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_fitted_method_is_fitted_again(tmp_path):
    """The stored clusters are those of the stored results."""
    cam = method().fit(torch.randn(1, 2, 12, 10, generator=torch.Generator().manual_seed(1)))
    again = run(tmp_path / "a", Pictures(4), cam, fit=4)
    first = run(tmp_path / "b", Pictures(4), fit=4)
    assert torch.equal(again.cluster_labels, first.cluster_labels)
    assert not torch.equal(again.cluster_labels, cam.labels_)
    assert again.table(["sizes", "importances"]) == first.table(["sizes", "importances"])


def test_nothing_is_begun_if_there_are_no_clusters_to_fit(tmp_path):
    cam = method(clusterer=torch.arange(6) % 3)
    with pytest.raises(ValueError, match=r"fit='all' .* clusterer is fixed labels"):
        run(tmp_path, cam=cam, fit="all")
    assert run(tmp_path, cam=cam).is_complete


def test_other_facts_cannot_hide_a_setting(tmp_path):
    with pytest.raises(ValueError, match=r"about has \['seed'\], which are settings"):
        run(tmp_path, about={"size": 224, "seed": 0})


def test_numbers_and_names_may_be_of_numpy(tmp_path):
    numbers = {"batch_size": 2, "chunk_size": 4, "perturbations_per_eval": 2, "target": 1, "fit": 3}
    names = [str(i) for i in range(N)]
    run(tmp_path / "a", names=names, **numbers)
    numbers = {name: np.int64(value) for name, value in numbers.items()}
    for _ in range(2):
        run(tmp_path / "b", names=np.array(names), **numbers)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
