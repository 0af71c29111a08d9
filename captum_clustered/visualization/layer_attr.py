"""One attribution beside and over the image that it explains."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from captum_clustered.visualization.arrays import (
    ArrayOrTensor,
    as_map,
    as_mask,
    as_picture,
    backdrop,
    hatched,
)
from captum_clustered.visualization.canvas import UPRIGHT, axes_for, frame, show
from captum_clustered.visualization.interpolation import Seen, placed
from captum_clustered.visualization.look import Look
from captum_clustered.visualization.palette import OPACITY, tinted
from captum_clustered.visualization.scale import (
    PLAIN,
    Scale,
    draw_color_bar,
    line_style,
    signed_text,
)

# In a row of a legend.
_LEGEND_LETTERS = 110
# In white on black, to be visible on any picture.
_MASK: dict[str, Any] = {
    "color": "white",
    "linewidth": 1.2,
    "linestyle": (0, (1, 1.2)),
    "path_effects": [withStroke(linewidth=2.6, foreground="black")],
}


def visualize_layer_attr(
    attr: ArrayOrTensor,
    original_image: ArrayOrTensor,
    *,
    opacity: float = OPACITY,
    outline: bool = False,
    keep_colors: bool = False,
    interpolate_mode: str = "smooth",
    limit: float | None = None,
    label: str = "attribution",
    mask: ArrayOrTensor | None = None,
    seen: Seen | None = None,
    title: str | None = None,
    show_colorbar: bool = True,
    plt_fig_axis: tuple[Figure, Axes] | None = None,
    fig_size: tuple[float, float] | None = None,
    use_pyplot: bool = True,
) -> tuple[Figure, Axes]:
    """
    Draw an image and, beside it, the attribution of a layer or of the input over it.

    Positive attribution is amber, negative attribution is blue, and zero has no color. Below the
    colors, the image is drawn in grays, whose luminance they keep. A solid line marks a quarter
    of the scale, a dashed line minus a quarter, so that the signs also differ in a print without
    color. A map of zeros is a valid result and is labeled "zero everywhere".

    Args:

        attr (Tensor or numpy.ndarray): Attribution of one example, of any size: (h, w),
                    (1, h, w), (1, 1, h, w) or, an array, (h, w, 1).
        original_image (Tensor, numpy.ndarray or PIL.Image.Image): The image before
                    normalization, in color or gray: a tensor (C, H, W) or an array (H, W, C)
                    or (H, W), in [0, 1] or from 0 to 255.
        opacity, outline, keep_colors (optional): As in
                    :func:`captum_clustered.visualization.overlay`.
        interpolate_mode (str, optional): As in :func:`captum_clustered.visualization.overlay`.
                    Default: "smooth"
        limit (float, optional): Value at which the color scale ends, to draw several figures
                    on one scale. Larger values get the color of the end, and the color bar
                    gets a pointed end.
                    Default: None (the largest absolute value that is drawn)
        label (str, optional): Label of the color bar: the quantity and its unit.
                    Default: "attribution"
        mask (Tensor or numpy.ndarray, optional): The object, (H, W), nonzero inside. Its
                    outline is drawn.
                    Default: None
        seen (tuple, optional): The part of the image that the network saw, as in
                    :func:`captum_clustered.visualization.overlay`.
                    Default: None (the whole image)
        title (str, optional): Title of the map.
                    Default: None
        show_colorbar (bool, optional): Whether to draw the color bar.
                    Default: True
        plt_fig_axis (tuple, optional): Figure and axes to draw the map on, without the image
                    beside it and without a legend.
                    Default: None (new ones)
        fig_size (tuple, optional): Size of a new figure in inches.
                    Default: None (8 wide, as high as the image needs)
        use_pyplot (bool, optional): Whether to make the figure with pyplot and show it.
                    Default: True

    Returns:
        2-element tuple of **figure**, **axis** of the map, as in Captum.

    Raises:

        ValueError: If a shape does not fit, a value is NaN or infinite, the image is outside
                    its range, or an option has a value that is not accepted.

    Examples::

        >>> attribution = cam.attribute(x, target=281)  # (1, 1, 7, 7)
        >>> figure, axis = visualize_layer_attr(
        >>>     attribution, image, label="drop x activation", use_pyplot=False
        >>> )
        >>> figure.savefig("cat.png")
    """
    look = Look(opacity, outline, keep_colors)
    picture = as_picture(original_image)
    values = placed(as_map(attr), picture.shape[:2], interpolate_mode, seen)
    scale = Scale.of([values], limit)
    outlined = None if mask is None else as_mask(mask, picture.shape[:2])
    is_new = plt_fig_axis is None
    if fig_size is None:
        fig_size = (8, 3.4 * picture.shape[0] / picture.shape[1] + 0.7)
    figure, axes = axes_for(plt_fig_axis, 1, 2 if is_new else 1, fig_size, use_pyplot)
    axis = axes[0, -1]
    if is_new:
        draw_input(axes[0, 0], picture, outlined)
        draw_legend(figure, scale, [values], look, has_mask=mask is not None)
    draw_overlay(axis, picture, values, scale, look, outlined)
    if show_colorbar:
        draw_color_bar(figure, scale, label, look, ax=axis, pad=0.02, fraction=0.05)
    if title is not None:
        axis.set_title(title, parse_math=False)
    show(use_pyplot)
    return figure, axis


def draw_input(
    axis: Axes, picture: NDArray[np.float64], mask: NDArray[np.bool_] | None = None
) -> None:
    """Draw the image itself, which nothing covers but the outline of an object."""
    axis.imshow(picture, **UPRIGHT)
    axis.autoscale(False)
    if mask is not None:
        draw_outline(axis, mask)
    axis.set_title("input", fontsize=9)
    frame(axis)


def draw_overlay(
    axis: Axes,
    picture: NDArray[np.float64],
    values: NDArray[np.float64],
    scale: Scale,
    look: Look = PLAIN,
    mask: NDArray[np.bool_] | None = None,
) -> None:
    """Draw a map (H, W) over a picture (H, W, 3), and outline where the mask (H, W) is True."""
    unseen = np.isnan(values)
    shown = hatched(backdrop(picture, look.keep_colors), unseen)
    axis.imshow(tinted(shown, values / scale.limit, look.fill), **UPRIGHT)
    # Not seen, but matplotlib's windows show the value under the pointer.
    axis.imshow(values, alpha=0, vmin=-scale.limit, vmax=scale.limit, **UPRIGHT)
    axis.autoscale(False)
    known = np.where(unseen, 0, values)
    for share in look.levels:
        _line(axis, known, share * scale.limit, **line_style(share, look.strength))
    if not known.any():
        axis.text(
            0.5, 0.04, "zero everywhere", color="white", ha="center", transform=axis.transAxes
        )
    if mask is not None:
        draw_outline(axis, mask)
    frame(axis)


def draw_outline(axis: Axes, mask: NDArray[np.bool_]) -> None:
    """Outline where the mask (H, W) is True."""
    _line(axis, mask.astype(np.float64), 0.5, **_MASK)


def draw_legend(
    figure: Any,
    scale: Scale,
    maps: list[NDArray[np.float64]],
    look: Look = PLAIN,
    *,
    has_mask: bool = False,
    unit: str = "",
    class_name: str = "the class",
) -> None:
    """Say below a figure what the lines are that its maps have, and the hatching."""
    entries: list[Any] = [
        Line2D(
            [],
            [],
            **line_style(x),
            label=f"{signed_text(x)}{unit}, {'for' if x > 0 else 'against'} {class_name}",
        )
        for x in reversed(scale.levels(look))
        if any(_is_crossed(np.nan_to_num(values), x) for values in maps)
    ]
    if has_mask:
        entries.append(Line2D([], [], **_MASK, label="outline of the mask"))
    if any(np.isnan(values).any() for values in maps):
        style: dict[str, Any] = {"facecolor": "#999999", "edgecolor": "#444444", "hatch": "////"}
        entries.append(Patch(**style, label="not seen by the network"))
    if not entries:
        return
    legend = figure.legend(
        handles=entries,
        loc="outside lower center",
        # Long names of classes are below each other.
        ncols=len(entries) if sum(len(e.get_label()) for e in entries) < _LEGEND_LETTERS else 1,
        fontsize=8,
        frameon=False,
        handlelength=2.6,
    )
    for text in legend.get_texts():
        # The name of a class may have dollar signs, which are no formulas.
        text.set_parse_math(False)


def _is_crossed(values: NDArray[np.float64], level: float) -> bool:
    """Return whether there is a line between zero and what lies beyond a level."""
    return bool(values.max() > level if level > 0 else values.min() < level)


def _line(axis: Axes, values: NDArray[np.float64], level: float, **style: Any) -> None:
    # matplotlib warns if no line is drawn.
    if not _is_crossed(values, level):
        return
    # Zero beyond the border closes the lines of what the edge of the image cuts off.
    padded = np.pad(values, 1)
    places = [np.array([-0.5, *range(n), n - 0.5]) for n in values.shape]
    effects = style.pop("path_effects")
    lists = {f"{name}s": [value] for name, value in style.items()}
    lines = axis.contour(places[1], places[0], padded, [level], **lists)
    lines.set_path_effects(effects)
