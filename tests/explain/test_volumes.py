"""Explaining volumes: the map lies over the volume, in millimeters."""

import numpy as np
import pytest
import torch

pytest.importorskip("nibabel", reason="needs the extra volumes")

import nibabel
import small_volumes
from small_volumes import at, random_affine, volume_with_a_spot

from captum_clustered import ClusteredLayerCAM
from captum_clustered.data import make_volume_preprocessing
from captum_clustered.explain import ExplainerSettings, Explanation, ImageExplainer, VolumeExplainer


def explainer_of(net, size=24, **settings):
    settings = ExplainerSettings(n_clusters=3, **settings)
    return VolumeExplainer(net.eval(), settings, make_volume_preprocessing(size=size))


def test_the_map_is_that_of_the_method():
    net = small_volumes.net()
    explainer = explainer_of(net)
    volume = volume_with_a_spot(np.diag([-1, 2, 3, 1]), (10, 9, 8))
    found = explainer(volume, target=1)
    inputs, _ = make_volume_preprocessing(size=24)(volume)
    expected = ClusteredLayerCAM(net, net[1], clusterer=3).attribute(inputs[None], 1)
    np.testing.assert_allclose(found.attribution, expected[0, 0], rtol=1e-5, atol=1e-7)
    assert found.settings.layer == "1"
    assert found.gradcam.shape == (6, 6, 6)
    assert "map 6 x 6 x 6" in repr(found)


@pytest.mark.parametrize("seed", range(20))
def test_the_nifti_has_its_maximum_where_the_network_has_it(seed, tmp_path):
    """Any affine: rotated, flipped, with another spacing along each axis."""
    rng = np.random.default_rng(seed)
    affine, sides = random_affine(rng), (40, 36, 24)
    voxel = [int(rng.integers(8, n - 8)) for n in sides]
    found = explainer_of(small_volumes.brightness())(
        volume_with_a_spot(affine, voxel, sides), target=1
    )
    found.save_nifti(tmp_path / "map.nii.gz")
    saved = nibabel.load(tmp_path / "map.nii.gz")
    assert saved.shape == sides
    np.testing.assert_allclose(saved.affine, affine, atol=1e-4)
    values = saved.get_fdata()
    place = at(saved.affine, np.unravel_index(values.argmax(), sides))
    peak = np.unravel_index(found.attribution.argmax(), found.attribution.shape)
    # Half a voxel of the volume, along each of its axes: no voxel is nearer to the map's maximum.
    apart = np.linalg.inv(affine) @ ([*place, 1] - found.map_affine @ [*peak, 1])
    assert np.abs(apart[:3]).max() <= 0.5 + 1e-4
    # The spot itself is in the voxel of the map that is largest.
    spot = np.linalg.inv(found.map_affine) @ [*at(affine, voxel), 1] - [*peak, 1]
    assert np.abs(spot[:3]).max() <= 0.75


def test_what_a_transform_crops_away_is_zero_in_the_file_and_nan_in_python(tmp_path):
    def left_half(volume):
        return torch.tensor(np.asarray(volume.dataobj))[None, :16], volume.affine

    net = small_volumes.brightness().eval()
    explainer = VolumeExplainer(net, ExplainerSettings(n_clusters=1), left_half)
    volume = nibabel.Nifti1Image(np.ones((32, 16, 16), np.float32), np.diag([2, 2, 2, 1]))
    found = explainer(volume, target=1)
    assert found.attribution.shape == (4, 4, 4)
    on_volume = found.on_volume(found.attribution)
    assert np.isfinite(on_volume[:16]).all()
    assert np.isnan(on_volume[16:]).all()
    found.save_nifti(tmp_path / "map.nii.gz")
    values = nibabel.load(tmp_path / "map.nii.gz").get_fdata()
    assert (values[:16] > 0).all()
    assert (values[16:] == 0).all()


def test_a_file_gives_the_same_and_an_explanation_is_loaded_again(tmp_path):
    volume = volume_with_a_spot(np.diag([1, 2, 3, 1]), (10, 9, 8))
    nibabel.save(volume, tmp_path / "scan.nii.gz")
    explainer = explainer_of(small_volumes.net())
    found = explainer(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(found.attribution, explainer(volume).attribution)
    assert found.image.endswith("scan.nii.gz")
    found.save(tmp_path / "scan.npz")
    loaded = Explanation.load(tmp_path / "scan.npz")
    for name in ("attribution", "original_image", "affine", "map_affine"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(found, name))


def test_images_and_volumes_are_not_taken_for_each_other():
    net = small_volumes.net()
    with pytest.raises(ValueError, match="Sequential takes volumes: use VolumeExplainer"):
        ImageExplainer(net)
    with pytest.raises(
        ValueError, match=r"'0' has shape \(1, 64, 8\), which is no map of a volume"
    ):
        explainer_of(small_volumes.tokens(), layer="0", channel_dim=-1)
    with pytest.raises(ValueError, match="hflip"):
        explainer_of(net, views=("hflip",))


def test_the_size_of_the_input_is_found_without_a_transform():
    net = small_volumes.net(channels=2).eval()
    explainer = VolumeExplainer(net)
    assert explainer.preprocessing.input_shape == (1, 2, 96, 96, 96)
