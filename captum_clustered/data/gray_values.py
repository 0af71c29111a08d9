"""Which stored gray values are shown as black and as white."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Range = tuple[float, float]


def chosen_range(
    value_range: Sequence[float] | None, window: Sequence[float] | None
) -> Range | None:
    """
    Return the values that are black and white, or None if neither argument is given.

    A window has them as center and width, as DICOM defines a linear one. Raises ValueError if both
    are given, or the numbers are no range.
    """
    if value_range is None and window is None:
        return None
    if value_range is not None and window is not None:
        raise ValueError("Give either value_range or window, not both.")
    given = tuple(map(float, value_range if window is None else window))  # type: ignore[arg-type]
    if len(given) == 2 and all(map(math.isfinite, given)):
        low, high = given
        if window is not None:
            # C.11.2.1.2 of DICOM's part 3.
            center, half = low - 0.5, (high - 1) / 2
            low, high = center - half, center + half
        if low < high:
            return low, high
    name, accepted = (
        ("value_range", "two numbers (low, high), low below high")
        if window is None
        else ("window", "two numbers (center, width), a width above 1")
    )
    raise ValueError(f"{name}={value_range if window is None else window!r} must be {accepted}.")


def as_bytes(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Return values scaled so that low becomes 0 and high 255; what lies beyond is clipped."""
    relative = np.nan_to_num((values.astype(np.float64) - low) / (high - low), nan=0)
    scaled: npt.NDArray[np.uint8] = np.rint(np.clip(relative, 0, 1) * 255).astype(np.uint8)
    return scaled
