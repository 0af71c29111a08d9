"""Volumes from files, and maps on their grids."""

import numpy as np
import pytest
import torch

pytest.importorskip("nibabel", reason="needs the extra volumes")
pytest.importorskip("highdicom", reason="needs the extra volumes")

import nibabel
from small_volumes import at, random_affine, save_enhanced_ct, save_series

from captum_clustered.data import (
    ImageError,
    as_volume_preprocessing,
    make_volume_preprocessing,
    read_volume,
)
from captum_clustered.data.volumes import resampled, resized_affine


def save(path, values, affine=None):
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


class TestReading:
    def test_nifti(self, tmp_path):
        affine = random_affine(np.random.default_rng(0))
        values = np.arange(24, dtype=np.float32).reshape(2, 3, 4, 1)
        found = read_volume(save(tmp_path / "scan.nii.gz", values, affine))
        np.testing.assert_array_equal(found.get_fdata(), values[..., 0])
        np.testing.assert_allclose(found.affine, affine, atol=1e-4)

    @pytest.mark.parametrize("kind", ["series", "enhanced"])
    def test_a_ct_has_hounsfield_units_and_its_place(self, kind, tmp_path):
        values = np.arange(3 * 4 * 5).reshape(3, 4, 5)
        place = ((0.5, 0.75, 3), (-10, 20, 30))
        if kind == "series":
            tags = {"RescaleSlope": 2, "RescaleIntercept": -1000}
            path = save_series(tmp_path / "ct", values, *place, **tags)
        else:
            path = save_enhanced_ct(tmp_path / "ct.dcm", values, (2, 0, 1), *place, 2, -1000)
        found = read_volume(path)
        # Slices are in any order in the folder; DICOM has x to the left and y to the back.
        for number, row, column in ((0, 0, 0), (2, 1, 4)):
            place = (10 - 0.5 * column, -20 - 0.75 * row, 30 + 3 * number)
            voxel = np.linalg.inv(found.affine) @ [*place, 1]
            index = tuple(np.rint(voxel[:3]).astype(int))
            np.testing.assert_allclose(voxel[:3], index, atol=1e-6)
            assert found.dataobj[index] == 2 * values[number, row, column] - 1000

    def test_a_series_with_a_gap_is_refused(self, tmp_path):
        folder = save_series(tmp_path / "ct", np.zeros((5, 4, 4)))
        (folder / "003.dcm").unlink()
        with pytest.raises(ImageError, match=r"ct cannot be read as one volume: .*spac"):
            read_volume(folder)

    def test_two_series_in_one_folder_are_refused(self, tmp_path):
        folder = save_series(tmp_path / "ct", np.zeros((3, 4, 4)))
        (save_series(tmp_path / "other", np.ones((1, 4, 4))) / "001.dcm").rename(folder / "9.dcm")
        with pytest.raises(ImageError, match="do not belong to the same series"):
            read_volume(folder)

    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            (np.zeros((4, 4, 4, 3), np.int16), r"shape \(4, 4, 4, 3\)"),
            (np.zeros((4, 4, 4), [(color, "u1") for color in "RGB"]), "colors"),
        ],
    )
    def test_what_is_no_volume_of_single_numbers_is_refused(self, tmp_path, values, reason):
        with pytest.raises(ImageError, match=f"scan.nii has {reason}"):
            read_volume(save(tmp_path / "scan.nii", values))

    def test_damage_and_absence(self, tmp_path):
        (tmp_path / "scan.nii").write_bytes(b"no header")
        with pytest.raises(ImageError, match=r"scan.nii cannot be read as a volume"):
            read_volume(tmp_path / "scan.nii")
        with pytest.raises(FileNotFoundError, match="no file"):
            read_volume(tmp_path / "other.nii")
        with pytest.raises(ImageError, match="folder without DICOM files"):
            read_volume(tmp_path)


def test_a_resized_grid_covers_the_same_box():
    affine = random_affine(np.random.default_rng(0))
    resized = resized_affine(affine, (8, 6, 4), (2, 3, 8))
    for corner, same in (((-0.5,) * 3, (-0.5,) * 3), ((7.5, 5.5, 3.5), (1.5, 2.5, 7.5))):
        np.testing.assert_allclose(at(affine, corner), at(resized, same))


class TestResampling:
    @pytest.mark.parametrize("seed", range(20))
    def test_the_maximum_keeps_its_physical_place(self, seed):
        rng = np.random.default_rng(seed)
        affine, sides = random_affine(rng), (40, 35, 28)
        shape = (5, 7, 4)
        map_affine = resized_affine(affine, sides, shape)
        values = rng.uniform(-1, 1, shape)
        peak = tuple(rng.integers(0, shape))
        values[peak] = 2
        found = resampled(values, map_affine, sides, affine)
        highest = np.unravel_index(found.argmax(), sides)
        # In voxels of the map, whose maximum it is.
        apart = np.linalg.inv(map_affine) @ [*at(affine, highest), 1] - [*peak, 1]
        assert np.abs(apart[:3]).max() <= 0.5

    @pytest.mark.parametrize("seed", range(20))
    def test_between_grids_of_different_directions(self, seed):
        """The map is of a box inside of the volume, turned by any angle, as a transform may."""
        rng = np.random.default_rng(seed)
        affine, map_affine = random_affine(rng), random_affine(rng)
        # The center of the map is a voxel of the volume.
        voxel = rng.integers(15, 25, 3)
        map_affine[:3, 3] += at(affine, voxel) - at(map_affine, (4, 4, 4))
        values = np.zeros((9, 9, 9))
        values[4, 4, 4] = 1
        found = resampled(values, map_affine, (40, 40, 40), affine)
        assert np.unravel_index(np.nanargmax(found), found.shape) == tuple(voxel)
        assert np.nanmax(found) == pytest.approx(1, abs=1e-5)

    def test_values_are_those_of_the_map_at_its_centers(self):
        values = np.random.default_rng(0).normal(size=(3, 4, 2))
        fine = resized_affine(np.eye(4), (3, 4, 2), (9, 12, 6))
        found = resampled(values, np.eye(4), (9, 12, 6), fine)
        np.testing.assert_allclose(found[1::3, 1::3, 1::3], values, rtol=1e-5)

    def test_what_the_map_does_not_cover_is_nan(self):
        shifted = np.eye(4)
        shifted[0, 3] = 2
        found = resampled(np.ones((2, 3, 3)), shifted, (6, 3, 3), np.eye(4))
        np.testing.assert_array_equal(found[:, 0, 0], [np.nan, np.nan, 1, 1, np.nan, np.nan])


class TestPreprocessing:
    def test_voxels_are_where_the_affine_says(self):
        """A volume whose values are its physical coordinates, one of them for each axis."""
        rng = np.random.default_rng(0)
        sides = (30, 24, 12)
        affine = np.diag([-1.5, 2, -4, 1])[[1, 2, 0, 3]] + 0.0
        affine[:3, 3] = rng.uniform(-50, 50, 3)
        millimeters = nibabel.affines.apply_affine(affine, np.moveaxis(np.indices(sides), 0, -1))
        for axis in range(3):
            volume = nibabel.Nifti1Image(millimeters[..., axis], affine)
            low, high = millimeters[..., axis].min(), millimeters[..., axis].max()
            inputs, of = make_volume_preprocessing(size=6, value_range=(low, high))(volume)
            found = inputs[0].numpy() * (high - low) + low
            expected = nibabel.affines.apply_affine(of, np.moveaxis(np.indices((6,) * 3), 0, -1))
            np.testing.assert_allclose(found, expected[..., axis], atol=1e-3)
            # The input grows to the right, to the front and upwards.
            assert (np.diff(found, axis=axis) > 0).all()

    def test_windows_clip_before_they_resize(self):
        values = np.zeros((4, 4, 4), np.float32)
        values[0] = 5000
        preprocessing = make_volume_preprocessing(
            size=2, value_range=(0, 100), mean=(0.5,), std=(2,)
        )
        inputs, _ = preprocessing(nibabel.Nifti1Image(values, np.eye(4)))
        # Half of the first half is white.
        np.testing.assert_allclose(inputs[0, :, 0, 0], [(0.5 - 0.5) / 2, (0 - 0.5) / 2])
        assert preprocessing.guesses == ()
        assert preprocessing.shown(nibabel.Nifti1Image(values, np.eye(4))).max() == 255

    def test_without_a_range_all_values_are_used_and_the_guess_is_named(self):
        values = np.linspace(-3, 5, 64, dtype=np.float32).reshape(4, 4, 4)
        values[0, 0, 1] = np.nan
        preprocessing = make_volume_preprocessing(n_channels=2)
        inputs, _ = preprocessing(nibabel.Nifti1Image(values, np.eye(4)))
        assert inputs.shape == (2, 96, 96, 96)
        assert (inputs.min(), inputs.max()) == (0, 1)
        assert preprocessing.description.endswith("(size, range: a guess)")

    def test_a_transform_says_where_its_voxels_are(self):
        affine = np.diag([2.0, 2, 2, 1])
        preprocessing = as_volume_preprocessing(
            lambda volume: (torch.tensor(volume.get_fdata())[None, ::2, ::2, ::2], affine)
        )
        assert preprocessing.input_shape == (1, 1, 32, 32, 32)
        inputs, of = preprocessing(nibabel.Nifti1Image(np.ones((8, 6, 4)), np.eye(4)))
        assert inputs.shape == (1, 4, 3, 2)
        assert inputs.dtype is torch.float32
        np.testing.assert_array_equal(of, affine)

    def test_a_tensor_of_monai_brings_its_affine(self):
        monai = pytest.importorskip("monai", reason="needs MONAI")
        turn = monai.transforms.Orientation("RAS", labels=None)

        def transform(volume):
            return turn(monai.data.MetaTensor(volume.get_fdata()[None], affine=volume.affine))

        volume = nibabel.Nifti1Image(np.arange(24.0).reshape(2, 3, 4), np.diag([-1, 2, -3, 1]))
        inputs, affine = as_volume_preprocessing(transform)(volume)
        assert type(inputs) is torch.Tensor
        np.testing.assert_array_equal(inputs[0], volume.get_fdata()[::-1, :, ::-1])
        np.testing.assert_allclose(at(affine, (1, 0, 3)), at(volume.affine, (0, 0, 0)))

    @pytest.mark.parametrize(
        "transform",
        [lambda volume: torch.zeros(1, 4, 4, 4), lambda volume: (torch.zeros(4, 4, 4), np.eye(4))],
    )
    def test_a_transform_without_a_place_is_refused(self, transform):
        with pytest.raises(ValueError, match="must return a MetaTensor of MONAI"):
            as_volume_preprocessing(transform)
