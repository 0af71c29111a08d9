"""From a volume to the network's input, with the place of its voxels."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from captum_clustered._errors import explained
from captum_clustered.data.gray_values import as_bytes, chosen_range
from captum_clustered.data.preprocessing import of_channels
from captum_clustered.data.volumes import Affine, read_volume, resized_affine

if TYPE_CHECKING:
    from nibabel import Nifti1Image

DEFAULT_SIZE = 96
# Values outside of these percentiles are black and white in figures, unless a range is given.
SHOWN = (0.5, 99.5)


@dataclass(frozen=True)
class VolumePreprocessing:
    """
    A transform from a volume to the network's input, which says where the input's voxels are.

    Attributes:

        transform (Callable): From an image of nibabel to the input (C, d, h, w) and its affine.
        input_shape (tuple[int, ...]): Shape of an input, (1, C, d, h, w).
        description (str): What is done to a volume, in one line; guesses are called so.
        guesses (tuple[str, ...]): Those of "size" and "range" that nobody gave.
        value_range (tuple[float, float], optional): The values that are black and white in
                    figures.
                    Default: None (nearly the lowest and the highest of the volume)
    """

    transform: Callable[[Any], tuple[Tensor, Affine]] = field(repr=False)
    input_shape: tuple[int, ...]
    description: str
    guesses: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None

    @property
    def size(self) -> int:
        """The first side of the input."""
        return self.input_shape[2]

    def read(self, path: str | os.PathLike[str]) -> Nifti1Image:
        """Read a volume by :func:`read_volume`."""
        return read_volume(path)

    def __call__(self, volume: Nifti1Image) -> tuple[Tensor, Affine]:
        """Return the network's input for a volume, (C, d, h, w), and the affine of its voxels."""
        return self.transform(volume)

    def shown(self, volume: Nifti1Image) -> npt.NDArray[np.uint8]:
        """Return a volume for figures, in gray values from 0 to 255."""
        values = _values(volume)
        low, high = self.value_range or np.percentile(values, SHOWN).tolist()
        return as_bytes(values, low, high if high > low else low + 1)

    def picture(self, inputs: Tensor) -> npt.NDArray[np.uint8]:
        """Return the first channel of an input ([1,] C, d, h, w) as (d, h, w) in 0..255."""
        values = inputs.detach().cpu().float().reshape(-1, *inputs.shape[-3:])[0].numpy()
        low, high = float(values.min()), float(values.max())
        return as_bytes(values, low, high if high > low else low + 1)


def make_volume_preprocessing(
    n_channels: int = 1,
    size: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    value_range: Sequence[float] | None = None,
    window: Sequence[float] | None = None,
) -> VolumePreprocessing:
    """
    Build the preprocessing of a network of volumes.

    Axes are turned, without interpolation, to point to the right, to the front and upwards
    (RAS). The whole volume is resized to a cube, and its values are scaled to 0 to 1.

    Args:

        n_channels (int, optional): Channels of the input, which are all the same.
                    Default: 1
        size (int, optional): Length of the cube in voxels.
                    Default: None (96)
        mean, std (tuple[float, ...], optional): One number, or one for each channel, for values
                    from 0 to 1.
                    Default: None (0 and 1)
        value_range (sequence of float, optional): The values that become 0 and 1; what lies
                    beyond is clipped.
                    Default: None (the lowest and the highest value of each volume)
        window (sequence of float, optional): The same as (center, width), such as (40, 400)
                    Hounsfield units.
                    Default: None

    Returns:
        VolumePreprocessing: The transform.

    Raises:

        ValueError: If value_range or window is no range, or the number of means or deviations
                    does not fit the network.

    Examples::

        >>> preprocessing = make_volume_preprocessing(size=64, window=(40, 400))
        >>> inputs, affine = preprocessing(read_volume("ct.nii.gz"))
    """
    shown = chosen_range(value_range, window)
    side = size or DEFAULT_SIZE
    means = of_channels(mean or (0.0,), n_channels, "mean")
    stds = of_channels(std or (1.0,), n_channels, "std")

    def transform(volume: Nifti1Image) -> tuple[Tensor, Affine]:
        from nibabel import as_closest_canonical

        turned = as_closest_canonical(volume)
        values = torch.from_numpy(_values(turned))
        low, high = shown or (float(values.min()), float(values.max()))
        scaled = ((values - low) / (high - low if high > low else 1)).clamp(0, 1)
        cube = _resized(scaled, side).expand(n_channels, -1, -1, -1)
        mean_, std_ = (torch.tensor(v).view(-1, 1, 1, 1) for v in (means, stds))
        return (cube - mean_) / std_, resized_affine(turned.affine, turned.shape, (side,) * 3)

    values = "the lowest to the highest value" if shown is None else "{:g} to {:g}".format(*shown)
    parts = [
        "axes turned to RAS",
        f"resized to {side} x {side} x {side}",
        f"{values} scaled to 0 to 1",
    ]
    parts += [] if mean is None else [f"minus {', '.join(map('{:g}'.format, mean))}"]
    parts += [] if std is None else [f"divided by {', '.join(map('{:g}'.format, std))}"]
    given = {"size": size, "range": shown}
    guesses = tuple(name for name, value in given.items() if value is None)
    note = f" ({', '.join(guesses)}: a guess)" if guesses else ""
    return VolumePreprocessing(
        transform, (1, n_channels, side, side, side), ", ".join(parts) + note, guesses, shown
    )


def as_volume_preprocessing(
    transform: Callable[[Any], Any], value_range: tuple[float, float] | None = None
) -> VolumePreprocessing:
    """
    Return a transform of your own as a :class:`VolumePreprocessing`.

    Args:

        transform (Callable): From an image of nibabel to the network's input (C, d, h, w). What
                    it returns is a ``MetaTensor`` of MONAI, which has an ``affine``, or a tensor
                    and its affine, (4, 4): from indices of the input's voxels to millimeters.
        value_range (tuple[float, float], optional): The values that are black and white in
                    figures.
                    Default: None (nearly the lowest and the highest of the volume)

    Raises:

        ValueError: If it fails on a volume or returns something else.

    Examples::

        >>> monai = Compose([Orientation("RAS"), Spacing((1, 1, 2)), ScaleIntensity()])
        >>> preprocessing = as_volume_preprocessing(
        >>>     lambda volume: monai(MetaTensor(volume.get_fdata()[None], volume.affine))
        >>> )
    """
    if isinstance(transform, VolumePreprocessing):
        return transform
    from nibabel import Nifti1Image

    name = getattr(transform, "__qualname__", type(transform).__name__)

    def applied(volume: Any) -> tuple[Tensor, Affine]:
        with explained(f"{name} must be a transform of an image of nibabel; it fails", ValueError):
            found = transform(volume)
        parts = found if isinstance(found, tuple) else (found, getattr(found, "affine", None))
        if len(parts) == 2 and isinstance(parts[0], Tensor) and parts[0].dim() == 4:
            affine = np.asarray(0 if parts[1] is None else parts[1], dtype=np.float64)
            if affine.shape == (4, 4):
                # Not MONAI's own class, which keeps a history of all that is done to it.
                return parts[0].detach().as_subclass(Tensor).float(), affine
        raise ValueError(
            f"{name} must return a MetaTensor of MONAI, (C, d, h, w), or a tuple of a tensor and "
            f"its affine, (4, 4); it returned {type(found).__name__}."
        )

    # Its shape alone is of interest; noise, since some transforms crop what is black.
    noise = np.random.default_rng(0).uniform(1, 255, (64, 64, 64)).astype(np.float32)
    shape = tuple(applied(Nifti1Image(noise, np.eye(4)))[0].shape)
    sides = " x ".join(map(str, shape[1:]))
    description = f"{name}: input of {sides}, placed by the affine that it returns"
    return VolumePreprocessing(applied, (1, *shape), description, value_range=value_range)


def _values(volume: Nifti1Image) -> npt.NDArray[np.float32]:
    # The outside of a brain is often NaN.
    return np.nan_to_num(np.asarray(volume.dataobj, np.float32), posinf=0, neginf=0)


def _resized(values: Tensor, side: int) -> Tensor:
    """Resize a volume to a cube; along axes that shrink, voxels are averaged."""
    smaller = [min(n, side) for n in values.shape]
    averaged = interpolate(values[None, None], smaller, mode="area")
    return interpolate(averaged, (side,) * 3, mode="trilinear")[0]
