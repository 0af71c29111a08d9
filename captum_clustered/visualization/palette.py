"""The colors of signed maps: dark blue below zero, nothing at zero, yellow above."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Lightness grows from end to end: in gray, negative values are darker than the picture behind
# them and positive values are brighter. Blue and yellow differ under all common kinds of color
# blindness. Colors from zero to the largest value:
_POSITIVE = np.array([(240, 125, 35), (250, 165, 35), (255, 238, 80)]) / 255
_NEGATIVE = np.array([(45, 100, 205), (30, 75, 175), (10, 25, 95)]) / 255
_STRENGTHS = (0.0, 0.5, 1.0)
# The picture stays visible under the largest value.
MAX_OPACITY = 0.85


def to_rgba(relative: ArrayLike) -> NDArray[np.float64]:
    r"""
    Return the colors of attributions divided by the limit of the scale.

    Args:

        relative (array_like): Values in [-1, 1], shape (\*). Values outside get the color of
                    the end.

    Returns:
        numpy.ndarray: Red, green, blue and opacity in [0, 1], not premultiplied, shape
        (\*, 4). Opacity is 0 at zero and grows with the absolute value.

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


# As 8-bit integers, shape (256, 4), indexed by 128 + round(127 * relative): zero has its own,
# transparent entry, and entry 0 repeats entry 1.
TABLE: NDArray[np.uint8] = np.round(255 * to_rgba(np.arange(-128, 128) / 127)).astype(np.uint8)
