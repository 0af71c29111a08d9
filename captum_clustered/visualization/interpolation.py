"""Interpolate a layer's map to the place in the image that the network saw."""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import LayerAttribution
from numpy.typing import NDArray

from captum_clustered._argument_checks import check_choice
from captum_clustered._smoothing import smooth

# Top, left, bottom and right of the part of an image that the network saw, in shares of the
# image's height and width. With padding they lie outside of [0, 1].
Seen = tuple[float, ...]
WHOLE: Seen = (0.0, 0.0, 1.0, 1.0)

MODES = ("smooth", "nearest", "nearest-exact", "area", "bilinear", "bicubic")


def placed(
    values: NDArray[np.float64],
    size: tuple[int, int],
    interpolate_mode: str = "smooth",
    seen: Seen | None = None,
) -> NDArray[np.float64]:
    """
    Interpolate a map to an image's size; NaN is where the network did not see the image.

    ``seen`` is the part of the image that the map covers, as in :func:`overlay`.
    """
    check_choice("interpolate_mode", interpolate_mode, MODES)
    box, starts = _box(size, WHOLE if seen is None else seen)
    if values.shape == box:
        drawn = values
    elif interpolate_mode != "smooth":
        drawn = _interpolated(values, box, interpolate_mode)
    elif values.shape[0] > box[0] or values.shape[1] > box[1]:
        drawn = _interpolated(values, box, "area")
    else:
        drawn = smooth(values, box)
    if box == size and starts == (0, 0):
        return drawn
    canvas = np.full(size, np.nan)
    # Of a box that reaches beyond the image, where that was padded, only a part is drawn.
    rows, columns = (
        slice(max(0, start), min(side, start + length))
        for start, length, side in zip(starts, box, size, strict=True)
    )
    y, x = starts
    canvas[rows, columns] = drawn[
        rows.start - y : rows.stop - y, columns.start - x : columns.stop - x
    ]
    return canvas


def _box(size: tuple[int, int], seen: Seen) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the height and width, and the top and left, of what was seen, in pixels."""
    top, left, bottom, right = seen if len(seen) == 4 else (0, 0, 0, 0)
    if not (max(0, top) < min(1, bottom) and max(0, left) < min(1, right)):
        raise ValueError(
            "seen must be (top, left, bottom, right) in shares of the image's height and width, "
            f"such as (0, 0, 1, 1); got {seen!r}."
        )
    height, width = size
    y, x = round(top * height), round(left * width)
    # At least one pixel of the image is seen.
    y, x = min(y, height - 1), min(x, width - 1)
    return (max(1, round(bottom * height) - y), max(1, round(right * width) - x)), (y, x)


def _interpolated(
    values: NDArray[np.float64], size: tuple[int, int], mode: str
) -> NDArray[np.float64]:
    tensor = torch.from_numpy(np.ascontiguousarray(values))[None, None]
    return np.asarray(LayerAttribution.interpolate(tensor, size, mode)[0, 0])
