"""The colors of signed maps: dark blue below zero, nothing at zero, yellow above."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["TABLE", "to_rgba"]

# Lightness grows from end to end: in gray, what speaks against the target is darker than the
# picture behind it and what speaks for it is brighter. Blue and yellow are told apart with any
# of the common kinds of color blindness. From zero to the largest value:
_POSITIVE = np.array([(240, 125, 35), (250, 165, 35), (255, 238, 80)]) / 255
_NEGATIVE = np.array([(45, 100, 205), (30, 75, 175), (10, 25, 95)]) / 255
_STRENGTHS = (0.0, 0.5, 1.0)
# A little of the picture is seen even through the largest value.
MAX_OPACITY = 0.85


def to_rgba(relative: ArrayLike) -> NDArray[np.float64]:
    r"""
    Colors of attributions that were divided by the scale's limit.

    Args:

        relative (array_like): Values in [-1, 1], shape (\*); what lies outside gets the
                    color of the end.

    Returns:
        numpy.ndarray: Red, green, blue and opacity in [0, 1], not premultiplied, shape
        (\*, 4). Opacity grows with the distance from zero and is 0 at zero.

    Examples::

        >>> to_rgba([-1, 0, 1])[:, 3]
        array([0.85, 0.  , 0.85])
    """
    values = np.clip(np.asarray(relative, dtype=np.float64), -1, 1)
    strength = np.abs(values)
    for_target, against = (
        np.stack([np.interp(strength, _STRENGTHS, channel) for channel in colors.T], axis=-1)
        for colors in (_POSITIVE, _NEGATIVE)
    )
    colors = np.where(values[..., None] < 0, against, for_target)
    return np.concatenate([colors, MAX_OPACITY * strength[..., None]], axis=-1)


# As 8-bit integers, shape (256, 4): entry 128 + round(127 * relative). So zero has an entry of
# its own, which is transparent, and entry 0 repeats entry 1.
TABLE: NDArray[np.uint8] = np.round(255 * to_rgba(np.arange(-128, 128) / 127)).astype(np.uint8)
