"""One attribution over the image that it explains."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from captum_clustered.visualization.arrays import (
    ArrayOrTensor,
    as_map,
    as_mask,
    as_picture,
    backdrop,
    resized,
)
from captum_clustered.visualization.canvas import UPRIGHT, axes_for, frame, show
from captum_clustered.visualization.scale import LINES, Scale, draw_color_bar


def visualize_layer_attr(
    attr: ArrayOrTensor,
    original_image: ArrayOrTensor,
    *,
    interpolate_mode: str = "bilinear",
    limit: float | None = None,
    label: str = "attribution",
    mask: ArrayOrTensor | None = None,
    title: str | None = None,
    show_colorbar: bool = True,
    plt_fig_axis: tuple[Figure, Axes] | None = None,
    fig_size: tuple[float, float] | None = None,
    use_pyplot: bool = True,
) -> tuple[Figure, Axes]:
    """
    Draw the attribution of a layer, or of the input, over the image.

    Positive attribution is yellow, negative attribution is blue, and zero is transparent. The
    image is drawn in middle grays, so that the signs also differ in a print without color. A
    solid line marks a quarter of the scale, a dashed line minus a quarter. A map of zeros is
    a valid result and is labeled "zero everywhere".

    Args:

        attr (Tensor or numpy.ndarray): Attribution of one example, of any size: (h, w),
                    (1, h, w), (1, 1, h, w) or, an array, (h, w, 1).
        original_image (Tensor, numpy.ndarray or PIL.Image.Image): The image before
                    normalization, in color or gray: a tensor (C, H, W) or an array (H, W, C)
                    or (H, W), in [0, 1] or from 0 to 255.
        interpolate_mode (str, optional): How the map is resized to the image, a mode of
                    ``LayerAttribution.interpolate``: "nearest", "nearest-exact", "area",
                    "bilinear" or "bicubic".
                    Default: "bilinear"
        limit (float, optional): Value at which the color scale ends, to draw several figures
                    on one scale. Larger values get the color of the end, and the color bar
                    gets a pointed end.
                    Default: None (the largest absolute value that is drawn)
        label (str, optional): Label of the color bar: the quantity and its unit.
                    Default: "attribution"
        mask (Tensor or numpy.ndarray, optional): The object, (H, W), nonzero inside. Its
                    outline is drawn.
                    Default: None
        title (str, optional): Title of the axes.
                    Default: None
        show_colorbar (bool, optional): Whether to draw the color bar.
                    Default: True
        plt_fig_axis (tuple, optional): Figure and axes to draw on.
                    Default: None (new ones)
        fig_size (tuple, optional): Size of a new figure in inches.
                    Default: None (5 wide, as high as the image needs)
        use_pyplot (bool, optional): Whether to make the figure with pyplot and show it.
                    Default: True

    Returns:
        2-element tuple of **figure**, **axis**, as in Captum.

    Raises:

        ValueError: If a shape does not fit, a value is NaN or infinite, the image is outside
                    its range, ``limit`` is not positive or ``interpolate_mode`` is unknown.

    Examples::

        >>> attribution = cam.attribute(x, target=281)  # (1, 1, 7, 7)
        >>> figure, axis = visualize_layer_attr(
        >>>     attribution, image, label="share of the logit", use_pyplot=False
        >>> )
        >>> figure.savefig("cat.png")
    """
    picture = as_picture(original_image)
    values = resized(as_map(attr), picture.shape[:2], interpolate_mode)
    scale = Scale.of([values], limit)
    outline = None if mask is None else as_mask(mask, picture.shape[:2])
    if fig_size is None:
        fig_size = (5, 4 * picture.shape[0] / picture.shape[1] + 0.3)
    figure, axes = axes_for(plt_fig_axis, 1, 1, fig_size, use_pyplot)
    axis = axes[0, 0]
    draw_overlay(axis, picture, values, scale, outline)
    if show_colorbar:
        draw_color_bar(figure, scale, label, ax=axis, pad=0.02, fraction=0.05)
    if title is not None:
        axis.set_title(title, parse_math=False)
    show(use_pyplot)
    return figure, axis


def draw_overlay(
    axis: Axes,
    picture: NDArray[np.float64],
    values: NDArray[np.float64],
    scale: Scale,
    mask: NDArray[np.bool_] | None = None,
) -> None:
    """Draw a map (H, W) over a picture (H, W, 3), and outline where the mask (H, W) is True."""
    axis.imshow(backdrop(picture), **UPRIGHT)
    axis.imshow(values, **UPRIGHT, **scale.drawing)
    axis.autoscale(False)
    for level, style in LINES:
        _line(axis, values, level * scale.limit, linewidths=1, **style)
    if not values.any():
        axis.text(
            0.5, 0.04, "zero everywhere", color="white", ha="center", transform=axis.transAxes
        )
    if mask is not None:
        draw_outline(axis, mask)
    frame(axis)


def draw_outline(axis: Axes, mask: NDArray[np.bool_]) -> None:
    """Outline where the mask (H, W) is True, in white on black to be visible on any picture."""
    height, width = mask.shape
    # A margin closes the outline of objects that the edge of the image cuts off.
    padded = np.pad(mask.astype(np.float64), 1)
    places = np.arange(-1, width + 1), np.arange(-1, height + 1)
    lines = _line(axis, padded, 0.5, places, colors="white", linewidths=1.2)
    if lines is not None:
        lines.set_path_effects([withStroke(linewidth=2.6, foreground="black")])


def _line(
    axis: Axes,
    values: NDArray[np.float64],
    level: float,
    places: tuple[NDArray[Any], ...] = (),
    **style: Any,
) -> Any:
    # matplotlib warns if no line is drawn and cannot draw one in a single row of pixels.
    if min(values.shape) < 2 or not values.min() < level < values.max():
        return None
    return axis.contour(*places, values, [level], **style)
