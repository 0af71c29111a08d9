"""Convert the user's tensors, arrays and images to the arrays that are drawn."""

from __future__ import annotations

from typing import Any, Union

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import LayerAttribution
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from captum_clustered._argument_checks import check_choice

ArrayOrTensor = Union[Tensor, ArrayLike, Image.Image]

MODES = ("nearest", "nearest-exact", "area", "bilinear", "bicubic")
# PIL's modes whose numbers are gray or RGB values; a palette's numbers are indices.
_PLAIN_MODES = ("1", "L", "RGB", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
# Interpolation leaves [0, 1] by rounding errors.
_TOLERANCE = 1e-3
_GRAY = np.array([0.299, 0.587, 0.114])


def as_map(attr: ArrayOrTensor, name: str = "attr") -> NDArray[np.float64]:
    """
    Return one example's attribution of one channel, (h, w).

    Accepts (h, w), (1, h, w), (1, 1, h, w) or, as an array, Captum's (h, w, 1). Raises ValueError
    for any other shape and for NaN or infinity; ``name`` is the argument's name in the message.
    """
    values = _numpy(attr).astype(np.float64)
    shape = values.shape
    if values.ndim == 3 and shape[2] == 1 and not isinstance(attr, Tensor):
        values = values[:, :, 0]
    while values.ndim in (3, 4) and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2 or not values.size:
        raise ValueError(
            f"{name} must be the map of one example, of shape (h, w), (1, h, w) or (1, 1, h, w); "
            f"got {shape}. Take one example with [i]; sum over channels that add up; "
            "tokens_to_map arranges tokens."
        )
    check_finite(name, values)
    return values


def check_finite(name: str, values: NDArray[Any]) -> None:
    """Raise ValueError if any value of an argument is NaN or infinite."""
    wrong = int(values.size - np.isfinite(values).sum())
    if wrong:
        raise ValueError(
            f"{name} must be finite; {wrong} of its {values.size} values are NaN or infinite."
        )


def as_picture(image: ArrayOrTensor) -> NDArray[np.float64]:
    """
    Return an image in color, (H, W, 3), in [0, 1].

    Accepts a tensor (C, H, W) or (1, C, H, W), an array (H, W, C) or (H, W), with C = 1 or 3 and
    values in [0, 1] or from 0 to 255, and a PIL image, whose transparency is ignored. Raises
    ValueError for another shape or range, and for NaN or infinity.
    """
    if isinstance(image, Image.Image) and image.mode not in _PLAIN_MODES:
        image = image.convert("RGB")
    pixels = values = _numpy(image)
    if isinstance(image, Tensor):
        if values.ndim == 4 and len(values) == 1:
            pixels = values[0]
        pixels = np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        raise ValueError(
            "original_image must be one image, a tensor (C, H, W) or an array (H, W, C) or "
            f"(H, W), with C = 1 or 3; got {type(image).__name__} of shape {values.shape}."
        )
    check_finite("original_image", pixels)
    low, high = float(pixels.min()), float(pixels.max())
    is_integer = np.issubdtype(pixels.dtype, np.integer)
    limit = 255.0 if is_integer or high > 1 + _TOLERANCE else 1.0
    if low < -_TOLERANCE or high > limit * (1 + _TOLERANCE):
        raise ValueError(
            "original_image must be in [0, 1] or from 0 to 255, as it was before normalization "
            "(of a normalized one, x * std + mean); "
            f"got values from {low:.4g} to {high:.4g}."
        )
    pixels = np.clip(pixels.astype(np.float64) / limit, 0, 1)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def as_mask(mask: ArrayOrTensor, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels belong to the object, (H, W); raise ValueError for another size."""
    values = as_map(mask, "mask")
    if values.shape != size:
        raise ValueError(
            f"mask must have the height and width of original_image, {size}; got {values.shape}."
        )
    return values != 0


def resized(
    values: NDArray[np.float64], size: tuple[int, int], interpolate_mode: str
) -> NDArray[np.float64]:
    """Interpolate a map to the image's size with Captum's ``LayerAttribution.interpolate``."""
    check_choice("interpolate_mode", interpolate_mode, MODES)
    if values.shape == size:
        return values
    tensor = torch.from_numpy(np.ascontiguousarray(values))[None, None]
    drawn = LayerAttribution.interpolate(tensor, size, interpolate_mode)
    return np.asarray(drawn[0, 0])


def shrunk(pictures: Tensor, side: int) -> Tensor:
    """Shrink pictures (N, channels, H, W) by their means to a longer side of ``side`` at most."""
    height, width = pictures.shape[2:]
    scale = side / max(height, width)
    if scale >= 1:
        return pictures
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return F.interpolate(pictures, size, mode="area")


def backdrop(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a picture (H, W, 3) in middle grays, which do not look like the palette's colors."""
    gray = 0.2 + 0.45 * (picture @ _GRAY)
    return np.repeat(gray[..., None], 3, axis=2)


def _numpy(values: ArrayOrTensor) -> NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        # NumPy has no bfloat16.
        return np.asarray(values.double() if values.is_floating_point() else values)
    return np.asarray(values)
