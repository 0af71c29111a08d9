"""Read volumes and move maps between their grids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from captum_clustered._errors import ImageError, explained, needs_extra, printable
from captum_clustered._smoothing import smooth
from captum_clustered.data.dicom import is_dicom

if TYPE_CHECKING:
    from nibabel import Nifti1Image

# Voxels along the longest side of a refined map.
FINE = 96

Array = npt.NDArray[Any]
Affine = npt.NDArray[np.float64]


def read_volume(path: str | os.PathLike[str]) -> Nifti1Image:
    """
    Read a volume: NIfTI, another format of nibabel, or a DICOM series.

    Args:

        path (str or os.PathLike): A file such as ``scan.nii.gz``, a folder with the files of one
                    DICOM series, or an enhanced DICOM file, which holds all slices. DICOM values
                    are rescaled, to Hounsfield units for CT.

    Returns:
        nibabel.nifti1.Nifti1Image: An image of nibabel, whose ``affine`` maps indices of voxels
        to millimeters: to the right, to the front and upwards.

    Raises:

        FileNotFoundError: If there is no such file or folder.
        ImageError: If it is no volume of single numbers, is damaged, or its slices are not
                    equally spaced.
        ModuleNotFoundError: If the extra ``volumes`` is not installed.

    Examples::

        >>> volume = read_volume("scan.nii.gz")
        >>> volume.shape, volume.header.get_zooms()
    """
    path, name = Path(path), printable(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {name}.")
    with needs_extra(f"{name}, a volume,", "volumes"):
        import nibabel
        from nibabel.funcs import squeeze_image
    if path.is_dir() or is_dicom(path):
        return _read_dicom(path, name)
    with explained(f"{name} cannot be read as a volume", ImageError):
        volume = squeeze_image(nibabel.load(path))
    if len(volume.shape) != 3 or volume.get_data_dtype().names:
        kind = "colors" if volume.get_data_dtype().names else f"shape {volume.shape}"
        raise ImageError(
            f"{name} has {kind}; one number for each voxel of three dimensions is needed."
        )
    if volume.affine is None or not np.linalg.det(volume.affine[:3, :3]):
        raise ImageError(f"{name} has no valid affine: nothing says where its voxels are.")
    return volume


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files in a folder."""
    return [path for path in sorted(folder.iterdir()) if path.is_file() and is_dicom(path)]


def resized_affine(affine: Affine, shape: Sequence[int], size: Sequence[int]) -> Affine:
    """Return the affine of a grid of another size that covers the same box as one of a shape."""
    step = np.asarray(shape) / np.asarray(size)
    # Indices are of the centers of voxels.
    within = np.diag([*step, 1.0])
    within[:3, 3] = (step - 1) / 2
    return np.asarray(affine @ within)


def resampled(
    values: Array, affine: Affine, shape: Sequence[int], to_affine: Affine
) -> npt.NDArray[np.float32]:
    """
    Interpolate a map (d, h, w) at the voxels of another grid; NaN is where it has no voxels.

    A coarse map is refined first, so that its extrema stay what and where they are.
    """
    from scipy.ndimage import affine_transform  # type: ignore[import-untyped]

    factor = max(1, FINE // max(values.shape))
    # By an odd number, which leaves a voxel at the center of each one.
    size = [n * (factor - 1 + factor % 2) for n in values.shape]
    affine = resized_affine(affine, values.shape, size)
    fine = smooth(values.astype(np.float64), size).astype(np.float32)
    between = np.linalg.inv(affine) @ to_affine
    grid = {"matrix": between[:3, :3], "offset": between[:3, 3], "output_shape": tuple(shape)}
    found = affine_transform(fine, **grid, order=1, mode="nearest")
    # The nearest voxel of ones: up to the outer faces.
    ones = np.ones(size, np.uint8)
    inside = affine_transform(ones, **grid, order=0, mode="grid-constant")
    return np.where(inside, found, np.float32(np.nan))


def _read_dicom(path: Path, name: str) -> Nifti1Image:
    with needs_extra(f"{name}, a DICOM series,", "volumes"):
        import highdicom
        import pydicom
        from nibabel import Nifti1Image

    files = dicom_files(path) if path.is_dir() else [path]
    if not files:
        raise ImageError(f"{name} is a folder without DICOM files.")
    with explained(f"{name} cannot be read as one volume", ImageError):
        headers = [pydicom.dcmread(file) for file in files]
        if len(headers) == 1 and "NumberOfFrames" in headers[0]:
            volume = highdicom.Image.from_dataset(headers[0]).get_volume(dtype=np.float32)
        else:
            volume = highdicom.get_volume_from_series(
                headers, dtype=np.float32, orientation_tol=1e-4
            )
        if volume.array.ndim != 3:
            raise ImageError(f"{name} is in color; one number for each voxel is needed.")
        return Nifti1Image(volume.array, volume.get_affine("RAS"))
