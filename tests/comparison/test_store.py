import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from forks import process
from nets import MlpHead
from small_comparisons import FAST, pictures, run
from torch.utils.data import DataLoader, TensorDataset

from captum_clustered.comparison import compare
from captum_clustered.test_time_augmentation import TestTimeAugmentation

FILES = [f"batch-{index:06d}.json" for index in range(3)]
METRICS = ["average drop", "infidelity", "energy in mask"]


def assert_same_gallery(first, second):
    for a, b in zip(first.gallery, second.gallery, strict=True):
        assert (a.number, list(a.maps)) == (b.number, list(b.maps))
        np.testing.assert_array_equal(a.picture, b.picture)
        for name, maps in a.maps.items():
            np.testing.assert_array_equal(maps, b.maps[name])


def batches_in(folder):
    return sorted(path.name for path in Path(folder).glob("batch-*.json"))


@pytest.mark.parametrize("calls_until_interrupt", [1, 4, 8, 15])
def test_an_interrupted_comparison_goes_on(tmp_path, calls_until_interrupt):
    calls = []

    def metric(case):
        calls.append(case.method)
        if len(calls) == calls_until_interrupt:
            raise KeyboardInterrupt
        # Thirds are not exact in any decimal notation of a few digits.
        return case.attributions.mean((1, 2, 3)) / 3

    arguments = {"metrics": [*METRICS, {"mine": metric}], "save_to": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        run(**arguments)
    # Seven methods are run on each batch of two.
    done = (calls_until_interrupt - 1) // 7
    assert batches_in(tmp_path) == FILES[:done]
    calls[:] = [""] * 100
    again = run(**arguments)
    assert len(calls) == 100 + 7 * (3 - done)
    calls[:] = [""] * 100
    whole = run(**arguments | {"save_to": None})
    assert again.values.equals(whole.values)
    assert again.curves == whole.curves
    assert_same_gallery(again, whole)
    assert again.summary().equals(whole.summary())
    assert again.costs()["forward_examples"].equals(whole.costs()["forward_examples"])


def test_a_finished_comparison_is_read_with_its_costs(tmp_path):
    first = run(save_to=tmp_path, metrics=METRICS)
    again = run(save_to=tmp_path, metrics=METRICS)
    assert again.frame.equals(first.frame)
    assert again.metric_seconds.equals(first.metric_seconds)


SECONDS = 0


def slow(case):
    time.sleep(SECONDS)
    return case.attributions.mean((1, 2, 3)) / 3


SLOW = {"metrics": ["average drop", "infidelity", {"mine": slow}]}


def compare_slowly(folder):
    global SECONDS
    SECONDS = 0.2
    run(**SLOW, save_to=folder)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX only")
def test_a_killed_comparison_goes_on(tmp_path):
    with process(compare_slowly, tmp_path) as begun:
        for _ in range(3000):
            if batches_in(tmp_path) or not begun.is_alive():
                break
            time.sleep(0.01)
        assert begun.is_alive()
    assert 1 <= len(batches_in(tmp_path)) < 3
    again = run(**SLOW, save_to=tmp_path)
    assert again.values.equals(run(**SLOW).values)


def test_failures_are_kept(tmp_path):
    def moody(case):
        raise RuntimeError("no")

    arguments = {"metrics": ["complexity", {"moody": moody}], "save_to": tmp_path}
    with pytest.warns(UserWarning, match="moody"):
        first = run(**arguments)
    with pytest.warns(UserWarning, match="moody"):
        again = run(**arguments)
    assert again.failures.equals(first.failures)
    assert again.values.equals(first.values)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"score": "margin"}, "score was logit and is margin"),
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"target": "label"}, "target was prediction and is label"),
        ({"batch_size": 3}, "batch_size was 2 and is 3"),
        (
            {"methods": ["LayerGradCam"]},
            "methods are others, now without 'ClusteredLayerCAM.clusterer=3.'\\.",
        ),
        ({"metrics": ["complexity"]}, "now without 'average drop', 'coherency', now with"),
        ({"net": MlpHead(seed=1)}, "model was"),
        ({"attribute_to_layer_input": True}, "attribute_to_layer_input was False and is True"),
    ],
)
def test_other_settings_in_the_same_folder(tmp_path, change, name):
    run(save_to=tmp_path)
    with pytest.raises(ValueError, match=f"has results of another comparison.*{name}"):
        run(save_to=tmp_path, **change)


def test_other_views_of_a_users_method_in_the_same_folder(tmp_path):
    net = MlpHead()

    def mirrored(*views):
        return {"mine": TestTimeAugmentation(LayerGradCam(net, net.relu), views)}

    run(net, methods=mirrored("identity", "hflip"), save_to=tmp_path)
    run(net, methods=mirrored("identity", "hflip"), save_to=tmp_path)
    with pytest.raises(ValueError, match=r"has results of another comparison.*methods.*mine"):
        run(net, methods=mirrored("identity", "vflip"), save_to=tmp_path)


def test_only_what_differs_is_named(tmp_path):
    run(save_to=tmp_path)
    with pytest.raises(ValueError, match="another comparison") as error:
        run(save_to=tmp_path, seed=1)
    assert "score" not in str(error.value)


def test_the_reference_may_change(tmp_path):
    run(save_to=tmp_path)
    result = run(save_to=tmp_path, reference="random")
    assert result.reference == "random"


@pytest.mark.parametrize(("image", "batch"), [(2, 1), (0, 0)])
def test_other_data_in_the_same_folder(tmp_path, image, batch):
    x, labels, masks = pictures()
    run(data=(x, labels, masks), save_to=tmp_path)
    x = x.clone()
    x[image] += 1
    with pytest.raises(ValueError, match=rf"batch {batch} differs.*shuffle=False"):
        run(data=(x, labels, masks), save_to=tmp_path)


def test_loaders_go_on(tmp_path):
    loader = DataLoader(TensorDataset(*pictures()), batch_size=2)
    first = run(data=loader, save_to=tmp_path)
    (tmp_path / FILES[1]).unlink()
    assert run(data=loader, save_to=tmp_path).values.equals(first.values)


def test_half_a_file_is_never_taken_for_a_whole(tmp_path):
    first = run(save_to=tmp_path)
    content = (tmp_path / FILES[2]).read_text(encoding="utf-8")
    (tmp_path / FILES[2]).unlink()
    (tmp_path / f"{FILES[2]}.part").write_text(content[:100], encoding="utf-8")
    assert run(save_to=tmp_path).values.equals(first.values)
    assert not list(tmp_path.glob("*.part"))


def test_floats_keep_all_their_bits(tmp_path):
    awkward = [0.1 + 0.2, 1e-310, float("nan"), float("inf"), -0.0, 2**-52 + 1]

    def metric(case):
        start = 0 if case.inputs[0, 0, 0, 0] == pictures()[0][0, 0, 0, 0] else 2
        return torch.tensor(awkward[start : start + 2], dtype=torch.float64)

    arguments = {"metrics": {"awkward": metric}, "data": pictures(4)}
    run(**arguments, save_to=tmp_path)
    stored = run(**arguments, save_to=tmp_path).frame["value"].to_numpy()
    assert stored.tobytes() == run(**arguments).frame["value"].to_numpy().tobytes()
    assert json.loads((tmp_path / "settings.json").read_text())["seed"] == 0


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', None, '{"images": 3}'])
def test_a_damaged_batch_is_computed_again(tmp_path, content):
    first = run(save_to=tmp_path)
    path = tmp_path / FILES[1]
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[: len(whole) // 2] if content is None else content, encoding="utf-8")
    with pytest.warns(UserWarning, match=f"{FILES[1]} is missing or damaged.*computed again"):
        again = run(save_to=tmp_path)
    assert again.values.equals(first.values)
    assert run(save_to=tmp_path).values.equals(first.values)


@pytest.mark.parametrize("content", [None, b"", b"half a file", "an archive of something else"])
def test_a_batch_without_its_pictures_is_computed_again(tmp_path, content):
    first = run(save_to=tmp_path)
    path = tmp_path / "batch-000001.npz"
    whole = path.read_bytes()
    if content is None:
        path.unlink()
    elif isinstance(content, str):
        np.savez(path, other=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"batch-000001\.npz is missing or damaged.*again"):
        again = run(save_to=tmp_path)
    assert again.values.equals(first.values)
    assert path.read_bytes() == whole


def test_pictures_do_not_depend_on_an_interruption(tmp_path):
    run(save_to=tmp_path / "whole")
    run(save_to=tmp_path / "again")
    for end in ("json", "npz"):
        (tmp_path / "again" / f"batch-000001.{end}").unlink()
    run(save_to=tmp_path / "again")
    names = [path.name for path in (tmp_path / "whole").glob("*.npz")]
    assert len(names) == 3
    for name in names:
        whole, again = ((tmp_path / place / name).read_bytes() for place in ("whole", "again"))
        assert whole == again


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_damaged_settings(tmp_path, content):
    run(save_to=tmp_path)
    path = tmp_path / "settings.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"settings\.json is damaged.*Choose"):
        run(save_to=tmp_path)


def test_save_to_is_a_folder(tmp_path):
    file = tmp_path / "file"
    file.write_text("something else")
    with pytest.raises(ValueError, match=r"save_to='.*file' must be a folder"):
        run(save_to=file)
    with pytest.raises(TypeError, match="save_to must be the path of a folder; got int"):
        run(save_to=3)


def test_another_function_as_forward_func(tmp_path):
    """Neither has a name or parameters that could be compared."""
    net = MlpHead()
    functions = [lambda x: net(x), lambda x: -net(x)]
    for function in functions:
        function.__qualname__ = "function"
    kwargs = FAST | {"save_to": tmp_path}
    first, again = (
        compare(functions[0], net.relu, pictures(), ["LayerGradCam"], **kwargs) for _ in range(2)
    )
    assert again.values.equals(first.values)
    with pytest.raises(ValueError, match="outputs of forward_func and layer on the first image"):
        compare(functions[1], net.relu, pictures(), ["LayerGradCam"], **kwargs)
    with pytest.raises(ValueError, match="outputs of forward_func and layer"):
        compare(functions[0], net.trunk[1], pictures(), ["LayerGradCam"], **kwargs)
    functions[0].__qualname__ = "other"
    with pytest.raises(ValueError, match=r"forward_func was .*function and is .*other"):
        compare(functions[0], net.relu, pictures(), ["LayerGradCam"], **kwargs)


def test_outputs_may_differ_in_their_last_bits(tmp_path):
    net = MlpHead()
    factor = [1.0]
    kwargs = FAST | {"save_to": tmp_path}

    def forward_func(x):
        return net(x) * factor[0]

    first = compare(forward_func, net.relu, pictures(), ["LayerGradCam"], **kwargs)
    factor[0] += 1e-6
    again = compare(forward_func, net.relu, pictures(), ["LayerGradCam"], **kwargs)
    assert again.values.equals(first.values)


def test_loaders_with_another_batch_size(tmp_path):
    data = TensorDataset(*pictures())
    run(data=DataLoader(data, batch_size=2), save_to=tmp_path)
    with pytest.raises(ValueError, match=r"batch 0 had 2 images and has 3\. Take the same batch"):
        run(data=DataLoader(data, batch_size=3), save_to=tmp_path)
