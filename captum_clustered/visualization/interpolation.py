"""Interpolate a layer's map to the place in the image that the network saw."""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import LayerAttribution
from numpy.typing import NDArray

from captum_clustered._argument_checks import check_choice

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
        drawn = _smooth(_smooth(values, box[0]).T, box[1]).T
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


def _smooth(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """
    Interpolate the first dimension to n values by monotone cubic polynomials.

    Between two values there is neither a larger nor a smaller one, so no extremum is invented,
    and the largest value stays at its place. Bilinear interpolation makes stars of peaks.
    """
    from scipy.interpolate import PchipInterpolator  # type: ignore[import-untyped]

    edges = [_beyond(values, *ends) for ends in ((0, 1), (-1, -2))]
    padded = np.concatenate([edges[0], values, edges[1]])
    places = (np.arange(n) + 0.5) / n * len(values) - 0.5
    return np.asarray(PchipInterpolator(np.arange(-1, len(values) + 1), padded)(places))


def _beyond(values: NDArray[np.float64], edge: int, inner: int) -> NDArray[np.float64]:
    """
    Continue a map beyond its border, where it goes on to fall towards zero if it falls.

    If it were constant there, outlines would run straight to the border.
    """
    last = values[edge]
    if len(values) < 2:
        return last[None]
    step = last - values[inner]
    is_falling = last * step < 0
    further = np.where(last > 0, np.maximum(last + step, 0), np.minimum(last + step, 0))
    return np.clip(np.where(is_falling, further, last), values.min(), values.max())[None]
