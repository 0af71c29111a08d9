"""The colors of signed maps: blue below zero, nothing at zero, orange and yellow above."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Red, green, blue, and the share of the opacity, at equal steps from zero to the largest value.
# Over a middle gray, equal steps of a value are equal steps of color (CIEDE2000), and both signs
# reach equally far. Both are brighter than dark tissue; blue and orange differ under all common
# kinds of color blindness.
_ABOVE = np.array(
    [
        (235, 110, 0, 0.0),
        (239, 118, 0, 0.103),
        (244, 127, 0, 0.217),
        (249, 137, 0, 0.341),
        (254, 148, 0, 0.472),
        (255, 162, 7, 0.608),
        (255, 177, 15, 0.744),
        (255, 191, 22, 0.874),
        (255, 205, 30, 1.0),
    ]
) / [255, 255, 255, 1]
_BELOW = np.array(
    [
        (60, 110, 255, 0.0),
        (52, 114, 255, 0.099),
        (42, 119, 255, 0.223),
        (30, 125, 255, 0.374),
        (19, 135, 255, 0.536),
        (13, 152, 255, 0.667),
        (9, 167, 255, 0.787),
        (4, 182, 255, 0.897),
        (0, 195, 255, 1.0),
    ]
) / [255, 255, 255, 1]
_STEPS = np.linspace(0, 1, len(_ABOVE))
# The lesion stays visible under the largest value: judged by ten ultrasound images, and as many
# radiographs, histological slides and photographs.
OPACITY = 0.55


def to_rgba(relative: ArrayLike, opacity: float = OPACITY) -> NDArray[np.float64]:
    r"""
    Return the colors of attributions divided by the limit of the scale.

    Args:

        relative (array_like): Values in [-1, 1], shape (\*). Values outside get the color of
                    the end, and NaN is transparent.
        opacity (float, optional): Opacity of the ends.
                    Default: 0.55

    Returns:
        numpy.ndarray: Red, green, blue and opacity in [0, 1], not premultiplied, shape
        (\*, 4). Opacity is 0 at zero and grows with the absolute value.

    Examples::

        >>> to_rgba([-1, 0, 1])[:, 3]
        array([0.55, 0.  , 0.55])
    """
    values = np.clip(np.nan_to_num(np.asarray(relative, dtype=np.float64)), -1, 1)
    strength = np.abs(values)
    above, below = (
        np.stack([np.interp(strength, _STEPS, channel) for channel in knots.T], axis=-1)
        for knots in (_ABOVE, _BELOW)
    )
    return np.where(values[..., None] < 0, below, above) * [1, 1, 1, opacity]


# As 8-bit integers, shape (256, 4), indexed by 128 + round(127 * relative): zero has its own,
# transparent entry, and entry 0 repeats entry 1.
TABLE: NDArray[np.uint8] = np.round(255 * to_rgba(np.arange(-128, 128) / 127)).astype(np.uint8)
