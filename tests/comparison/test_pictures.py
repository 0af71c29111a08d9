"""Pictures, maps and clusters that a comparison keeps."""

import warnings

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, NoiseTunnel
from nets import MlpHead, TwoTensors
from small_comparisons import pictures, run
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._maps import cluster_attribution
from captum_clustered.comparison.data import ImageBatch
from captum_clustered.comparison.pictures import (
    MAP_SIDE,
    MOST_CLUSTERS,
    SIDE,
    KeptClusters,
    Pictures,
)
from captum_clustered.comparison.stored import StoredComparison
from captum_clustered.data._originals import Original


def made(inputs, masks=None):
    pictures = Pictures()
    pictures.start(ImageBatch(inputs, None, masks))
    return pictures


def test_an_image_is_stretched_to_its_own_range():
    inputs = torch.tensor([[[[-1.0, 1.0]], [[0.0, 0.0]], [[1.0, 3.0]]]])
    assert made(inputs).images[0].picture.tolist() == [[[0, 64, 128], [128, 64, 255]]]


def test_gray_is_kept_in_one_channel():
    gray = torch.tensor([[[[0.0, 1.0]]]])
    assert made(gray.expand(1, 3, 1, 2)).images[0].picture.tolist() == [[[0], [255]]]
    # Of two channels, which are no colors, their mean.
    (image,) = made(torch.cat([gray, 3 * gray], 1)).images
    assert image.picture.tolist() == [[[0], [255]]]


def test_large_images_and_masks_shrink_alike():
    masks = torch.zeros(1, 1, 2 * SIDE, SIDE, dtype=torch.bool)
    masks[..., :SIDE, :] = True
    (image,) = made(torch.rand(1, 3, 2 * SIDE, SIDE), masks).images
    assert image.picture.shape == (SIDE, SIDE // 2, 3)
    assert image.mask.shape == (SIDE, SIDE // 2)
    assert image.mask[: SIDE // 2].all()
    assert not image.mask[SIDE // 2 :].any()


def test_originals_replace_the_inputs_each_in_its_own_proportions(tmp_path):
    pictures = made(torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8, dtype=torch.bool))
    wide, tall = (np.full((*size, 3), 7, np.uint8) for size in ((SIDE, 2 * SIDE), (30, 20)))
    tall[0, 0] = 1, 2, 3
    masks = [np.zeros(picture.shape[:2], bool) for picture in (wide, tall)]
    masks[1][:15] = True
    seen = (0.0, 0.25, 1.0, 0.75)
    pictures.show([Original(wide, seen, masks[0]), Original(tall, mask=masks[1])])
    with (tmp_path / "file.npz").open("wb") as file:
        pictures.write(file)
    read = Pictures.read(tmp_path / "file.npz").images
    assert [image.picture.shape for image in read] == [(SIDE // 2, SIDE, 1), (30, 20, 3)]
    assert (read[0].picture == 7).all()
    np.testing.assert_array_equal(read[1].picture, tall)
    assert [image.mask.shape for image in read] == [(SIDE // 2, SIDE), (30, 20)]
    np.testing.assert_array_equal(read[1].mask, masks[1])
    assert [image.seen for image in read] == [seen, (0, 0, 1, 1)]
    assert all(image.is_original for image in read)


def test_inputs_stay_where_an_original_is_not_known():
    pictures = made(torch.rand(2, 3, 8, 8))
    pictures.show([Original(np.zeros((4, 6, 3), np.uint8)), None])
    assert [image.picture.shape for image in pictures.images] == [(8, 8, 3)] * 2
    assert not any(image.is_original for image in pictures.images)


def test_maps_keep_their_values_and_signs():
    pictures = made(torch.rand(2, 3, 8, 8))
    maps = torch.tensor([[[[-1.5, 0.0], [0.25, 1e-9]]]])
    pictures.add("mine", [1], maps)
    assert not pictures.images[0].maps
    assert pictures.images[1].maps["mine"].tolist() == maps[0, 0].tolist()


def test_maps_as_large_as_an_image_shrink_by_their_means():
    pictures = made(torch.rand(1, 3, 8, 8))
    maps = torch.zeros(1, 1, 2 * MAP_SIDE, 2 * MAP_SIDE)
    maps[..., 0, 0] = 4
    pictures.add("mine", [0], maps)
    (image,) = pictures.images
    assert image.maps["mine"].shape == (MAP_SIDE, MAP_SIDE)
    assert image.maps["mine"][0, 0] == 1
    assert image.maps["mine"].sum() == 1
    assert image.ranges["mine"].tolist() == [0, 4]


@pytest.mark.parametrize("size", [(5,), (4, 5, 6)])
def test_other_than_2d_has_no_pictures(size, tmp_path):
    pictures = made(torch.rand(2, 3, *size))
    pictures.add("mine", [0, 1], torch.rand(2, 1, *size))
    assert pictures == Pictures()
    with (tmp_path / "file.npz").open("wb") as file:
        pictures.write(file)
    assert Pictures.read(tmp_path / "file.npz") == Pictures()


def test_are_read_as_they_were_written(tmp_path):
    pictures = made(torch.rand(2, 3, 8, 6), torch.rand(2, 1, 8, 6) > 0.5)
    for name in ("a/b, <c>", "$"):
        pictures.add(name, [0, 1], torch.randn(2, 1, 3, 2))
    path = tmp_path / "file.npz"
    with path.open("wb") as file:
        pictures.write(file)
    for read, image in zip(Pictures.read(path).images, pictures.images, strict=True):
        np.testing.assert_array_equal(read.picture, image.picture)
        np.testing.assert_array_equal(read.mask, image.mask)
        assert read.seen == (0, 0, 1, 1)
        assert list(read.maps) == list(image.maps)
        for name, values in image.maps.items():
            np.testing.assert_array_equal(read.maps[name], values)
            np.testing.assert_array_equal(read.ranges[name], image.ranges[name])


def test_a_method_that_failed_on_an_image_is_not_read_for_it(tmp_path):
    pictures = made(torch.rand(2, 3, 8, 6))
    pictures.add("first", [1], torch.randn(1, 1, 3, 2))
    pictures.add("second", [0, 1], torch.randn(2, 1, 3, 2))
    with (tmp_path / "file.npz").open("wb") as file:
        pictures.write(file)
    read = Pictures.read(tmp_path / "file.npz").images
    assert [set(image.maps) for image in read] == [{"second"}, {"first", "second"}]


@pytest.mark.parametrize("part", [0, 100, -30])
def test_half_a_file_is_named(tmp_path, part):
    path = tmp_path / "file.npz"
    with path.open("wb") as file:
        made(torch.rand(2, 3, 8, 8)).write(file)
    path.write_bytes(path.read_bytes()[:part])
    with pytest.raises(ValueError, match=r"file\.npz is damaged"):
        Pictures.read(path)


def test_another_archive_is_named(tmp_path):
    np.savez(tmp_path / "file.npz", other=np.zeros(3))
    with pytest.raises(ValueError, match=r"file\.npz is damaged"):
        Pictures.read(tmp_path / "file.npz")


NAME = "ClusteredLayerCAM(clusterer=3)"


def kept(folder):
    """What each image has of clusters."""
    batches = StoredComparison.read(folder).batches()
    return [image.clusters for _, found in batches for image in found.images]


def kept_of(cam, n_images, *parts):
    """What each of n images has, of attributions of parts of them for class 0."""
    pictures = made(torch.rand(n_images, 3, 8, 8))
    attributions = [(indices, cluster_attribution(cam, inputs, 0)) for indices, inputs in parts]
    pictures.add_clusters("cam", attributions)
    return [image.clusters.get("cam") for image in pictures.images]


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"importance": "shapley"},
        {"n_clusterings": 4},
    ],
)
def test_are_what_return_clusters_gives(tmp_path, kwargs):
    net, (inputs, _, _) = MlpHead(), pictures()
    arguments = ", ".join(f"{name}={value!r}" for name, value in {"clusterer": 3, **kwargs}.items())
    method = f"ClusteredLayerCAM({arguments})"
    run(net, methods=(method, "LayerGradCam"), save_to=tmp_path)
    cam = ClusteredLayerCAM(net, net.relu, clusterer=3, **kwargs)
    _, expected = cam.attribute(inputs, net(inputs).argmax(1), return_clusters=True)
    images = kept(tmp_path)
    assert all(set(found) == {method} for found in images)
    found = [each[method] for each in images]
    for name in ("maps", "importances"):
        values = np.stack([getattr(each, name) for each in found])
        np.testing.assert_allclose(values, getattr(expected, name), rtol=1e-4, atol=1e-6)
    sizes = np.stack([each.sizes for each in found])
    np.testing.assert_array_equal(sizes, expected.sizes)
    assert [each.n_clusters for each in found] == (sizes > 0).sum(1).tolist()
    assert {each.n_runs for each in found} == {kwargs.get("n_clusterings", 1)}
    assert {each.importance for each in found} == {kwargs.get("importance", "ablation")}


def test_values_are_the_same_to_the_last_bit_without_them(tmp_path):
    with_them, without = (
        run(methods=(NAME, "LayerGradCam"), save_to=folder) for folder in (tmp_path, None)
    )
    columns = [name for name in with_them.frame if name != "seconds"]
    assert with_them.frame[columns].equals(without.frame[columns])
    net, (inputs, _, _) = MlpHead(), pictures()
    cam = ClusteredLayerCAM(net, net.relu, clusterer=3)
    for start, (_, found) in zip((0, 2, 4), StoredComparison.read(tmp_path).batches(), strict=True):
        part = inputs[start : start + 2]
        expected = cam.attribute(part, net(part).argmax(1))[:, 0]
        maps = np.stack([image.maps[NAME] for image in found.images])
        assert maps.tobytes() == expected.numpy().tobytes()


class Branching(MlpHead):
    """It cannot run under vmap, so each evaluation is a forward pass that can be counted."""

    def forward(self, x):
        logits = super().forward(x)
        return logits if bool(logits.sum() < torch.inf) else -logits


def test_nothing_more_is_evaluated_for_them(tmp_path):
    """return_clusters would ablate the whole layer, once more."""
    net, seen = Branching(), []
    cam = ClusteredLayerCAM(lambda x: [seen.append(len(x)), net(x)][1], net.relu, clusterer=3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*cannot run under torch.func.vmap.*")
        cam.attribute(pictures()[0][:2], 0)
        found = run(net, methods=(NAME, "LayerGradCam"), save_to=tmp_path)
    assert found.failures.empty
    assert found.costs()["forward_examples"][NAME] == sum(seen) / 2
    assert all(NAME in each for each in kept(tmp_path))


def test_a_run_that_goes_on_keeps_the_same(tmp_path):
    def interrupted(case):
        if case.inputs[0, 0, 0, 0] == pictures()[0][4, 0, 0, 0]:
            raise KeyboardInterrupt
        return case.attributions.mean((1, 2, 3))

    def metric(case):
        return case.attributions.mean((1, 2, 3))

    with pytest.raises(KeyboardInterrupt):
        run(save_to=tmp_path / "a", metrics={"mine": interrupted})
    for folder in ("a", "b"):
        run(save_to=tmp_path / folder, metrics={"mine": metric})
    for path in sorted((tmp_path / "a").glob("*.npz")):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert len(kept(tmp_path / "a")) == 6


def test_methods_without_clusters_have_none(tmp_path):
    class Scaled(ClusteredLayerCAM):
        def attribute(self, *args, **kwargs):
            return 2 * super().attribute(*args, **kwargs)

    class Smooth(LayerAttribution):
        def __init__(self, forward_func, layer):
            super().__init__(forward_func, layer)
            self.tunnel = NoiseTunnel(ClusteredLayerCAM(forward_func, layer, clusterer=3))

        def attribute(self, inputs, target):
            return self.tunnel.attribute(inputs, nt_samples=2, target=target)

    made = {"scaled": Scaled, "smooth": Smooth, "cam": ClusteredLayerCAM}
    assert run(methods=[made], save_to=tmp_path).failures.empty
    assert [set(found) for found in kept(tmp_path)] == [{"cam"}] * 6


def test_a_users_own_attribution_is_left_as_it_was(tmp_path):
    net = MlpHead()
    cam = ClusteredLayerCAM(net, net.relu, clusterer=2).fit(pictures()[0])
    before = dict(vars(cam))
    shared = ClusteredLayerCAM(net, net.relu, clusterer=2, n_clusterings=3)
    run(net, methods=[{"fitted": cam, "shared": lambda f, layer: shared}], save_to=tmp_path)
    assert vars(cam) == before
    sizes = torch.bincount(cam.labels_, minlength=2).tolist()
    for found in kept(tmp_path):
        assert found["fitted"].sizes.tolist() == sizes
        # No clusterings are averaged after fit().
        assert (found["fitted"].n_runs, found["shared"].n_runs) == (1, 3)


def test_what_cannot_be_kept_does_not_cost_the_map(tmp_path, monkeypatch):
    expected = run(save_to=tmp_path / "with")

    def of(*args):
        raise MemoryError("too large")

    monkeypatch.setattr(KeptClusters, "of", of)
    with pytest.warns(UserWarning, match="clusters, .*MemoryError"):
        found = run(save_to=tmp_path / "without")
    columns = [name for name in found.frame if name != "seconds"]
    assert found.frame[columns].equals(expected.frame[columns])
    assert set(found.failures["metric"]) == {"clusters"}
    assert found.failures["image"].tolist() == list(range(6))
    assert set(found.failures["message"]) == {"too large"}
    assert kept(tmp_path / "without") == [{}] * 6


def test_a_layer_of_several_tensors_fails_as_before(tmp_path):
    two = TwoTensors()

    def logits(inputs):
        # It wants more channels than an image of these has.
        score = two(torch.cat([inputs, inputs], 1))
        return torch.stack([score, -score, 2 * score], 1)

    cam = ClusteredLayerCAM(logits, two.split, clusterer=2)
    with pytest.warns(UserWarning, match="must be one tensor"):
        found = run(methods=[NAME, {"two": cam}], save_to=tmp_path)
    assert set(found.failures["method"]) == {"two"}
    assert set(kept(tmp_path)[0]) == {NAME}


def test_an_image_that_failed_has_none():
    net = MlpHead()
    inputs = pictures()[0]
    found = kept_of(ClusteredLayerCAM(net, net.relu, clusterer=2), 3, ([0, 2], inputs[:2]))
    assert [found[0].n_clusters, found[1], found[2].n_clusters] == [2, None, 2]


def test_images_may_differ_in_their_number_of_clusters():
    net = MlpHead()
    inputs = pictures()[0]
    labels = iter([[0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 0, 1]])
    cam = ClusteredLayerCAM(net, net.relu, clusterer=lambda rows: torch.tensor(next(labels)))
    found = kept_of(cam, 2, ([1], inputs[:1]), ([0], inputs[1:2]))
    assert [len(each.maps) for each in found] == [4, 2]
    assert [each.n_clusters for each in found] == [4, 2]
    assert [each.sizes.tolist() for each in found] == [[2, 2, 1, 1], [3, 3]]


def wide_net(n_channels):
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, n_channels, 1)
    # No channel is dead.
    convolution.bias.data.fill_(1.0)
    layers = (convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(n_channels, 2)).eval()


def test_of_many_clusters_the_most_important_are_kept():
    n = MOST_CLUSTERS + 5
    net = wide_net(n)
    inputs = torch.rand(1, 1, 4, 4)
    cam = ClusteredLayerCAM(net, net[1], clusterer=torch.arange(n))
    (found,) = kept_of(cam, 1, ([0], inputs))
    _, clusters = cam.attribute(inputs, 0, return_clusters=True)
    order = clusters.importances[0].abs().argsort(descending=True)
    expected = order[:MOST_CLUSTERS].sort().values
    assert found.n_clusters == n
    np.testing.assert_allclose(found.importances, clusters.importances[0][expected], atol=1e-6)
    np.testing.assert_allclose(found.maps, clusters.maps[0][expected], atol=1e-6)


def test_large_maps_shrink_but_keep_their_range(tmp_path):
    net = wide_net(4)
    inputs = torch.rand(2, 1, 2 * MAP_SIDE, 2 * MAP_SIDE)
    found = made(inputs)
    found.add("mine", [0, 1], torch.zeros(2, 1, 4, 4))
    cam = ClusteredLayerCAM(net, net[1], clusterer=2)
    result = cluster_attribution(cam, inputs, 0)
    clusters = result.clusters()
    found.add_clusters("mine", [([0, 1], result)])
    expected = torch.stack(clusters.maps.flatten(2).aminmax(dim=2), 2)
    with (tmp_path / "file.npz").open("wb") as file:
        found.write(file)
    again = Pictures.read(tmp_path / "file.npz").images
    for i in range(2):
        kept, read = found.images[i].clusters["mine"], again[i].clusters["mine"]
        assert kept.maps.shape == (2, MAP_SIDE, MAP_SIDE)
        np.testing.assert_array_equal(kept.ranges, expected[i])
        np.testing.assert_allclose(
            kept.maps.mean((1, 2)), clusters.maps[i].mean((1, 2)), rtol=1e-4, atol=1e-8
        )
        assert (read.importance, read.n_runs, read.n_clusters) == ("ablation", 1, 2)
        for name in ("maps", "ranges", "importances", "sizes"):
            np.testing.assert_array_equal(getattr(read, name), getattr(kept, name))


def test_what_is_not_finite_is_refused():
    net = wide_net(4)
    cam = ClusteredLayerCAM(net, net[1], clusterer=2)
    result = cluster_attribution(cam, torch.rand(1, 1, 4, 4), 0)
    result._parts[0]._maps[0, 0, 0, 0] = torch.inf
    with pytest.raises(ValueError, match="clusters are not finite"):
        KeptClusters.of(result)


def test_damaged_ones_are_named(tmp_path):
    run(save_to=tmp_path)
    path = tmp_path / "batch-000000.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    del arrays["0/clusters/0/sizes"]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"batch-000000\.npz is damaged"):
        Pictures.read(path)
