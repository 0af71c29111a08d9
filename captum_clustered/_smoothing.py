"""Interpolation of maps that invents no extrema."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def smooth(values: NDArray[np.float64], size: Sequence[int]) -> NDArray[np.float64]:
    """
    Interpolate a map to a larger size by monotone cubic polynomials.

    Between two values there is neither a larger nor a smaller one, so no extremum is invented,
    and the largest value stays at its place. Bilinear interpolation makes stars of peaks.
    """
    from scipy.interpolate import PchipInterpolator  # type: ignore[import-untyped]

    for dim, n in enumerate(size):
        first = np.moveaxis(values, dim, 0)
        edges = [_beyond(first, *ends) for ends in ((0, 1), (-1, -2))]
        padded = np.concatenate([edges[0], first, edges[1]])
        places = (np.arange(n) + 0.5) / n * len(first) - 0.5
        interpolator = PchipInterpolator(np.arange(-1, len(first) + 1), padded)
        values = np.moveaxis(np.asarray(interpolator(places)), 0, dim)
    return values


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
