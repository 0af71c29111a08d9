"""An attribution over its image, as an array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from captum_clustered.visualization.arrays import (
    ArrayOrTensor,
    as_map,
    as_mask,
    as_picture,
    backdrop,
    hatched,
)
from captum_clustered.visualization.interpolation import Seen, placed
from captum_clustered.visualization.look import Look
from captum_clustered.visualization.palette import OPACITY, TABLE, tinted
from captum_clustered.visualization.scale import Scale

# Lines are this share of the image's shorter side wide, and dashes this many times as long.
_LINE, _DASH = 1 / 150, 6
_WHITE = np.ones(3)


def overlay(
    image: ArrayOrTensor,
    attribution: ArrayOrTensor,
    *,
    opacity: float = OPACITY,
    outline: bool = False,
    keep_colors: bool = False,
    limit: float | None = None,
    mask: ArrayOrTensor | None = None,
    seen: Seen | None = None,
    interpolate_mode: str = "smooth",
) -> NDArray[np.uint8]:
    """
    Return an attribution over the image that it explains, as an array to save or to draw.

    Positive attribution is amber, negative attribution is blue, and zero has no color. The map
    changes hue and saturation alone: each pixel keeps the luminance of the gray image, so that
    what is darker than its surroundings stays darker.

    Args:

        image (Tensor, numpy.ndarray or PIL.Image.Image): A tensor (C, H, W) or (1, C, H, W), an
                    array (H, W, C) or (H, W), with C = 1 or 3, or an image. Values in [0, 1] or
                    from 0 to 255 are taken as they are, others are stretched to the range of
                    black to white.
        attribution (Tensor or numpy.ndarray): Attribution of one example, of any size: (h, w),
                    (1, h, w), (1, 1, h, w) or, an array, (h, w, 1).
        opacity (float, optional): Strength of the colors of the largest value, from 0 to 1.
                    Default: 1.0
        outline (bool, optional): Whether to draw outlines at a quarter, a half and three
                    quarters of the scale instead of colors; those of negative values are dashed.
                    Default: False
        keep_colors (bool, optional): Whether the image keeps its colors and its full contrast.
                    Grays are not taken for the colors of the map, and are never so dark or
                    bright that these do not show.
                    Default: False
        limit (float, optional): Value at which the color scale ends, to draw several maps on
                    one scale.
                    Default: None (the largest absolute value that is drawn)
        mask (Tensor or numpy.ndarray, optional): The object, (H, W), nonzero inside. Its
                    outline is drawn in white.
                    Default: None
        seen (tuple, optional): The part of the image that the network saw, (top, left, bottom,
                    right) in shares of the image's height and width, from
                    :meth:`Preprocessing.seen <captum_clustered.data.Preprocessing.seen>`. The
                    map is drawn there, and the rest of the image is hatched.
                    Default: None (the whole image)
        interpolate_mode (str, optional): How the map is resized to the image. "smooth" is cubic
                    interpolation without new extrema, so that the maximum stays where it is. Or
                    a mode of ``LayerAttribution.interpolate``: "nearest", "nearest-exact",
                    "area", "bilinear" or "bicubic".
                    Default: "smooth"

    Returns:
        numpy.ndarray: Red, green and blue, uint8, (H, W, 3).

    Raises:

        ValueError: If a shape does not fit, a value is NaN or infinite, or an option has a value
                    that is not accepted.

    Examples::

        >>> attribution = cam.attribute(x, target=281)  # (1, 1, 7, 7)
        >>> Image.fromarray(overlay(image, attribution)).save("cat.png")
    """
    look = Look(opacity, outline, keep_colors)
    picture = as_picture(image, any_range=True)
    size = picture.shape[:2]
    values = placed(as_map(attribution, "attribution"), size, interpolate_mode, seen)
    scale = Scale.of([values], limit)
    drawn = hatched(backdrop(picture, keep_colors), np.isnan(values))
    drawn = tinted(drawn, values / scale.limit, look.fill)
    width = max(1, round(min(size) * _LINE))
    if outline:
        for level in scale.levels(look):
            inside = values >= level if level > 0 else values <= level
            color = TABLE[-1 if level > 0 else 0, :3] / 255
            drawn = _outlined(drawn, inside, color, width, is_dashed=level < 0)
    if mask is not None:
        drawn = _outlined(drawn, as_mask(mask, size), _WHITE, width)
    return np.round(255 * drawn).astype(np.uint8)


def _outlined(
    picture: NDArray[np.float64],
    inside: NDArray[np.bool_],
    color: NDArray[np.float64],
    width: int,
    is_dashed: bool = False,
) -> NDArray[np.float64]:
    """Draw a line along the inner edge of a region, and a dark one along its outer edge."""
    from scipy.ndimage import (  # type: ignore[import-untyped]
        binary_dilation,
        binary_erosion,
    )

    # Outside of the image is outside of the region: lines are closed at the border.
    line = inside & ~binary_erosion(inside, iterations=width)
    halo = binary_dilation(inside, iterations=width) & ~inside
    if is_dashed:
        rows, columns = np.indices(inside.shape)
        line &= (rows + columns) // (_DASH * width) % 2 == 0
    return np.where(line[..., None], color, picture * (1 - 0.6 * halo[..., None]))
