"""Convert the user's tensors, arrays and images to the arrays that are drawn."""

from __future__ import annotations

from typing import Any, Union

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from captum_clustered.visualization.palette import CONTRAST, DARKEST, from_linear, luminance

ArrayOrTensor = Union[Tensor, ArrayLike, Image.Image]

# PIL's modes whose numbers are gray or RGB values; a palette's numbers are indices.
_PLAIN_MODES = ("1", "L", "RGB", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
# Interpolation leaves [0, 1] by rounding errors.
_TOLERANCE = 1e-3


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


def as_picture(image: ArrayOrTensor, any_range: bool = False) -> NDArray[np.float64]:
    """
    Return an image in color, (H, W, 3), in [0, 1].

    Accepts a tensor (C, H, W) or (1, C, H, W), an array (H, W, C) or (H, W), with C = 1 or 3 and
    values in [0, 1] or from 0 to 255, and a PIL image, whose transparency is ignored. With
    ``any_range``, other values are stretched to [0, 1]. Raises ValueError for another shape or
    range, and for NaN or infinity.
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
        if any_range:
            channels = torch.from_numpy(np.moveaxis(pixels, -1, 0).astype(np.float64))
            shown = np.moveaxis(stretched(channels).numpy(), 0, -1)
            return np.asarray(shown.repeat(3 // shown.shape[2], axis=2))
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


def stretched(image: Tensor) -> Tensor:
    """
    Return an image (channels, height, width) in color or gray, stretched to [0, 1].

    A gray image in three channels stays gray, though each channel was normalized differently.
    """
    shown = image.detach()
    shown = shown if shown.dtype is torch.float64 else shown.float()
    if len(shown) != 3:
        return _to_unit(shown.mean(0, keepdim=True))
    each = torch.stack([_to_unit(channel) for channel in shown])
    if each.any() and torch.allclose(each, each[:1], atol=_TOLERANCE):
        return each
    return _to_unit(shown)


def _to_unit(values: Tensor) -> Tensor:
    low, high = values.amin(), values.amax()
    return (values - low) / (high - low).clamp(min=1e-12)


def as_bytes(pictures: Tensor) -> NDArray[np.uint8]:
    """Convert pictures (N, channels, height, width) in [0, 1] to (N, height, width, channels)."""
    values = (pictures.clamp(0, 1) * 255).round().to(torch.uint8)
    return values.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def shrunk(pictures: Tensor, side: int) -> Tensor:
    """Shrink pictures (N, channels, H, W) by their means to a longer side of ``side`` at most."""
    height, width = pictures.shape[2:]
    scale = side / max(height, width)
    if scale >= 1:
        return pictures
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return F.interpolate(pictures, size, mode="area")


def backdrop(picture: NDArray[np.float64], keep_colors: bool = False) -> NDArray[np.float64]:
    """Return a picture (H, W, 3) in grays, which are not taken for the palette's colors."""
    if keep_colors:
        return picture
    gray = DARKEST + CONTRAST * from_linear(luminance(picture))
    return np.repeat(gray[..., None], 3, axis=2)


def hatched(picture: NDArray[np.float64], unseen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return a picture (H, W, 3) with stripes where the network did not see it, (H, W)."""
    if not unseen.any():
        return picture
    rows, columns = np.indices(unseen.shape)
    period = max(4, min(unseen.shape) // 24)
    strength = np.where((rows + columns) % period < period / 3, 0.65, 0.4)[..., None]
    return np.where(unseen[..., None], picture * (1 - strength) + 0.35 * strength, picture)


def _numpy(values: ArrayOrTensor) -> NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        # NumPy has no bfloat16.
        return np.asarray(values.double() if values.is_floating_point() else values)
    return np.asarray(values)
