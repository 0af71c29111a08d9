import numpy as np
import pytest
import torch

from captum_clustered.comparison.data import ImageBatch
from captum_clustered.comparison.pictures import MAP_SIDE, SIDE, Pictures


def made(inputs, masks=None):
    pictures = Pictures()
    pictures.start(ImageBatch(inputs, None, masks))
    return pictures


def test_an_image_is_stretched_to_its_own_range():
    inputs = torch.tensor([[[[-1.0, 1.0]], [[0.0, 0.0]], [[1.0, 3.0]]]])
    assert made(inputs).images.tolist() == [[[[0, 64, 128], [128, 64, 255]]]]


def test_gray_is_kept_in_one_channel():
    gray = torch.tensor([[[[0.0, 1.0]]]])
    assert made(gray.expand(1, 3, 1, 2)).images.tolist() == [[[[0], [255]]]]
    # Of two channels, which are no colors, their mean.
    assert made(torch.cat([gray, 3 * gray], 1)).images.tolist() == [[[[0], [255]]]]


def test_large_images_and_masks_shrink_alike():
    masks = torch.zeros(1, 1, 2 * SIDE, SIDE, dtype=torch.bool)
    masks[..., :SIDE, :] = True
    pictures = made(torch.rand(1, 3, 2 * SIDE, SIDE), masks)
    assert pictures.images.shape == (1, SIDE, SIDE // 2, 3)
    assert pictures.masks.shape == (1, SIDE, SIDE // 2)
    assert pictures.masks[0, : SIDE // 2].all()
    assert not pictures.masks[0, SIDE // 2 :].any()


def test_maps_keep_their_values_and_signs():
    pictures = made(torch.rand(2, 3, 8, 8))
    maps = torch.tensor([[[[-1.5, 0.0], [0.25, 1e-9]]]])
    pictures.add("mine", [1], maps)
    assert np.isnan(pictures.maps["mine"][0]).all()
    assert pictures.maps["mine"][1].tolist() == maps[0, 0].tolist()


def test_maps_as_large_as_an_image_shrink_by_their_means():
    pictures = made(torch.rand(1, 3, 8, 8))
    maps = torch.zeros(1, 1, 2 * MAP_SIDE, 2 * MAP_SIDE)
    maps[..., 0, 0] = 4
    pictures.add("mine", [0], maps)
    assert pictures.maps["mine"].shape == (1, MAP_SIDE, MAP_SIDE)
    assert pictures.maps["mine"][0, 0, 0] == 1
    assert pictures.maps["mine"].sum() == 1
    assert pictures.ranges["mine"].tolist() == [[0, 4]]


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
    read = Pictures.read(path)
    np.testing.assert_array_equal(read.images, pictures.images)
    np.testing.assert_array_equal(read.masks, pictures.masks)
    assert list(read.maps) == list(pictures.maps)
    for name, maps in pictures.maps.items():
        np.testing.assert_array_equal(read.maps[name], maps)
        np.testing.assert_array_equal(read.ranges[name], pictures.ranges[name])


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
