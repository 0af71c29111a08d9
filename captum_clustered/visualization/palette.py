"""The colors of signed maps: blue below zero, nothing at zero, orange and yellow above.

Figures color the image and keep its luminance (:func:`tinted`); layers that are drawn over an
image by other programs are partly transparent (:func:`to_rgba`).
"""

from __future__ import annotations

from typing import Any

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
# As strong as the screen can show at the image's luminance, which no color changes.
OPACITY = 1.0

# Of linear red, green and blue (IEC 61966-2-1).
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
# How saturated a value is, at equal steps from zero to the largest: over the middle gray of a
# backdrop, equal steps of a value are equal steps of color (CIEDE2000), and both signs reach
# equally far.
_AMBER_STEPS = [0, 0.049, 0.101, 0.157, 0.215, 0.277, 0.341, 0.408, 0.477]
_AMBER_STEPS += [0.548, 0.619, 0.69, 0.76, 0.827, 0.89, 0.948, 1]
_BLUE_STEPS = [0, 0.017, 0.037, 0.059, 0.084, 0.112, 0.143, 0.179, 0.221]
_BLUE_STEPS += [0.269, 0.326, 0.393, 0.473, 0.568, 0.684, 0.825, 1]
# From black to white, a picture below a map has no black and no white, which have no room for
# colors; what that makes of a middle gray.
DARKEST, CONTRAST, MIDDLE_GRAY = 0.2, 0.62, 0.47
# The luminance of this gray, and how much brighter tissue is on which there are only pale blues,
# the weak ones of which would not be seen.
_MIDDLE, _BRIGHT = 0.19, 0.44


def to_linear(color: ArrayLike) -> NDArray[np.float64]:
    """Return linear light for sRGB values in [0, 1]."""
    values = np.asarray(color, dtype=np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_linear(light: ArrayLike) -> NDArray[np.float64]:
    """Return sRGB values for linear light in [0, 1]."""
    values = np.clip(np.asarray(light, dtype=np.float64), 0, 1)
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)


def luminance(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the luminance (H, W) of a picture (H, W, 3), from 0 to 1."""
    return np.asarray(to_linear(picture) @ _LUMINANCE)


def _away_from_gray(color: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the direction in linear light from gray to a hue, along which luminance stays."""
    light = to_linear(np.array(color) / 255)
    return np.asarray(light / (light @ _LUMINANCE) - 1)


_AMBER, _BLUE = _away_from_gray((255, 176, 0)), _away_from_gray((0, 130, 255))


def tinted(
    picture: NDArray[np.float64], relative: NDArray[np.float64], opacity: float = OPACITY
) -> NDArray[np.float64]:
    """
    Color a picture by a map and keep each pixel's luminance.

    What is darker than its surroundings stays darker: a map changes hue and saturation alone.

    Args:

        picture (array): (H, W, 3), in [0, 1].
        relative (array): Attributions divided by the limit of the scale, (H, W). Values outside
                    [-1, 1] get the color of the end, and NaN none.
        opacity (float, optional): Strength of the colors of the ends.
                    Default: 1.0
    """
    values = np.clip(np.nan_to_num(relative), -1, 1)
    size, steps = np.abs(values), np.linspace(0, 1, len(_AMBER_STEPS))
    light = to_linear(picture)
    gray = light @ _LUMINANCE
    brightness = np.clip((gray - _MIDDLE) / _BRIGHT, 0, 1)
    blue = np.interp(size, steps, _BLUE_STEPS)
    blue += brightness * (size - blue)
    strength = opacity * np.where(values < 0, blue, np.interp(size, steps, _AMBER_STEPS))
    color = _saturated(gray[..., None], np.where(values[..., None] < 0, _BLUE, _AMBER))
    return from_linear(light + strength[..., None] * (color - light))


def tint() -> dict[str, Any]:
    """Return the numbers of :func:`tinted` and of the backdrop, for the report's script."""
    return {
        "luminance": _LUMINANCE.tolist(),
        "directions": [_BLUE.tolist(), _AMBER.tolist()],
        "steps": [_BLUE_STEPS, _AMBER_STEPS],
        "bright": [_MIDDLE, _BRIGHT],
        "backdrop": [DARKEST, CONTRAST],
        "gray": MIDDLE_GRAY,
    }


def _saturated(gray: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Go from gray (..., 1) in a direction (..., 3) until a channel is black or full."""
    room = np.where(direction > 0, 1 - gray, gray) / np.abs(direction)
    return np.asarray(gray + room.min(axis=-1, keepdims=True) * direction)


def to_rgba(relative: ArrayLike, opacity: float = 0.55) -> NDArray[np.float64]:
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
