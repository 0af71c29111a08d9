import json

import numpy as np
import pytest
import torch
from nets import MlpHead
from small_comparisons import pictures, run

from captum_clustered import ClusteredLayerCAM
from captum_clustered.comparison.stored import StoredComparison


def test_has_the_comparison_as_it_was(tmp_path):
    first = run(save_to=tmp_path, reference="random")
    stored = StoredComparison.read(tmp_path)
    again = stored.comparison()
    assert stored.is_finished
    assert again.frame.equals(first.frame)
    assert again.summary().equals(first.summary())
    assert again.to_markdown() == first.to_markdown()
    assert [image.number for image in again.gallery] == list(range(6))
    for found, expected in zip(again.gallery, first.gallery, strict=True):
        np.testing.assert_array_equal(found.picture, expected.picture)
        np.testing.assert_array_equal(found.maps["random"], expected.maps["random"])
    assert (again.methods, again.controls) == (first.methods, first.controls)


def test_has_the_maps_of_all_images(tmp_path):
    run(save_to=tmp_path)
    net = MlpHead()
    images, _, masks = pictures()
    batches = StoredComparison.read(tmp_path).batches()
    kept = [image for _, found in batches for image in found.images]
    maps = np.stack([image.maps["ClusteredLayerCAM(clusterer=3)"] for image in kept])
    cam = ClusteredLayerCAM(net, net.relu, clusterer=3)
    expected = cam.attribute(images, net(images).argmax(1))[:, 0]
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(np.stack([image.mask for image in kept]), masks > 0)
    assert len(kept) == len(images)


def test_images_that_failed_have_no_row(tmp_path):
    images, _, _ = pictures()
    images[3] = torch.nan
    with pytest.warns(UserWarning, match="not finite"):
        run(data=images, save_to=tmp_path)
    batches = list(StoredComparison.read(tmp_path).batches())
    assert [len(result.images) for result, _ in batches] == [2, 1, 2]
    assert [len(kept.images) for _, kept in batches] == [2, 1, 2]


def test_a_run_that_was_interrupted(tmp_path):
    def metric(case):
        if case.inputs[0, 0, 0, 0] == pictures()[0][4, 0, 0, 0]:
            raise KeyboardInterrupt
        return case.attributions.mean((1, 2, 3))

    with pytest.raises(KeyboardInterrupt):
        run(save_to=tmp_path, metrics={"mine": metric}, reference=None)
    stored = StoredComparison.read(tmp_path)
    assert not stored.is_finished
    assert stored.reference == "LayerGradCam"
    assert stored.comparison().frame["image"].nunique() == 4


def test_a_run_that_goes_on_is_not_finished(tmp_path):
    run(save_to=tmp_path)

    def interrupted():
        yield from (tuple(part[:2] for part in pictures()),)
        raise KeyboardInterrupt

    settings = json.loads((tmp_path / "settings.json").read_text())
    settings["batch_size"] = None
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(KeyboardInterrupt):
        run(data=interrupted(), save_to=tmp_path)
    assert not StoredComparison.read(tmp_path).is_finished


def test_fewer_data_leave_later_batches_out(tmp_path):
    run(save_to=tmp_path)
    run(data=tuple(part[:4] for part in pictures()), save_to=tmp_path)
    assert StoredComparison.read(tmp_path).comparison().frame["image"].nunique() == 4


def test_a_loader_that_stopped_is_among_the_failures(tmp_path):
    def loader():
        yield tuple(part[:2] for part in pictures())
        raise RuntimeError("no more")

    with pytest.warns(UserWarning, match="no more"):
        first = run(data=loader(), save_to=tmp_path)
    assert StoredComparison.read(tmp_path).comparison().failures.equals(first.failures)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("settings.json", b"{}", "settings.json is damaged"),
        ("batch-000001.json", b"{", "batch-000001.json is missing, damaged"),
        ("batch-000001.json", None, "batch-000001.json is missing, damaged"),
        ("batch-000001.npz", None, "batch-000001.npz with the pictures of a batch is missing"),
        ("batch-000001.npz", b"PK", "batch-000001.npz is damaged"),
        ("finished.json", b"[]", "finished.json is damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, sentence):
    run(save_to=tmp_path)
    path = tmp_path / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        list(StoredComparison.read(tmp_path).batches())
