"""The maps of several methods for the same images, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from captum_clustered._argument_checks import check_choice
from captum_clustered.visualization.arrays import as_map, as_mask, as_picture
from captum_clustered.visualization.canvas import axes_for, frame, show
from captum_clustered.visualization.interpolation import Seen, placed
from captum_clustered.visualization.layer_attr import draw_input, draw_legend, draw_overlay
from captum_clustered.visualization.look import Look
from captum_clustered.visualization.palette import OPACITY
from captum_clustered.visualization.scale import OF_LARGEST, OWN_SCALES, Scale, draw_color_bar

Batch = Union[Tensor, NDArray[Any], Sequence[Any]]
_CELL = 1.75
# On average, at the 9 points of titles.
_LETTERS_PER_INCH = 13


def visualize_methods(
    attributions: Mapping[str, Batch],
    original_images: Batch,
    *,
    scale: str = "shared",
    opacity: float = OPACITY,
    outline: bool = False,
    keep_colors: bool = False,
    interpolate_mode: str = "smooth",
    limit: float | None = None,
    label: str = "attribution",
    masks: Batch | None = None,
    seen: Sequence[Seen] | None = None,
    names: Sequence[str] | None = None,
    class_name: str = "the class",
    plt_fig_axis: tuple[Figure, Any] | None = None,
    use_pyplot: bool = True,
) -> tuple[Figure, NDArray[Any]]:
    """
    Draw a row for each image: the image, then each method's map.

    Args:

        attributions (Mapping[str, Tensor or sequence]): Maps by name of the method: a tensor
                    (N, 1, h, w), or a sequence of N maps as in :func:`visualize_layer_attr`,
                    with None for a missing map.
        original_images (Tensor or sequence): The images: a tensor (N, C, H, W), or a
                    sequence of N images as in :func:`visualize_layer_attr`, which may
                    differ in size.
        scale (str, optional): "shared": one color scale for all maps, which must be in the
                    same unit. "own": each map relative to its own largest absolute value; use
                    this if units differ.
                    Default: "shared"
        opacity, outline, keep_colors (optional): As in
                    :func:`captum_clustered.visualization.overlay`.
        interpolate_mode (str, optional): As in :func:`captum_clustered.visualization.overlay`.
                    Default: "smooth"
        limit (float, optional): As in :func:`visualize_layer_attr`, for a shared scale.
                    Default: None (the largest absolute value of all maps)
        label (str, optional): Label of the color bar of a shared scale: the quantity and its
                    unit.
                    Default: "attribution"
        masks (Tensor or sequence, optional): The objects, (N, H, W) or (N, 1, H, W), or N
                    masks as in :func:`visualize_layer_attr`, with None for a missing one.
                    Outlined in all panels.
                    Default: None
        seen (Sequence[tuple], optional): The part of each image that the network saw, as in
                    :func:`captum_clustered.visualization.overlay`.
                    Default: None (the whole images)
        names (Sequence[str], optional): Names of the N images, written beside the rows.
                    Default: None
        class_name (str, optional): What the legend calls the class that is explained.
                    Default: "the class"
        plt_fig_axis (tuple, optional): Figure and axes, N x (number of methods + 1).
                    Default: None (new ones)
        use_pyplot (bool, optional): Whether to make the figure with pyplot and show it.
                    Default: True

    Returns:
        2-element tuple of **figure**, **axes** (*numpy.ndarray* of axes, of shape
        (N, number of methods + 1)).

    Raises:

        TypeError: If ``attributions`` is not a mapping, or another argument is neither a
                    tensor nor a sequence.
        ValueError: If there are no images or methods, if the number of maps, masks or names
                    is not that of the images, if ``limit`` is given with ``scale="own"``, or
                    as in :func:`visualize_layer_attr`.

    Examples::

        >>> maps = {
        >>>     type(method).__name__: method.attribute(x, target=281)
        >>>     for method in (LayerGradCam(net, net.layer4), ClusteredLayerCAM(net, net.layer4))
        >>> }
        >>> figure, axes = visualize_methods(maps, images, scale="own")
    """
    check_choice("scale", scale, ("shared", "own"))
    if scale == "own" and limit is not None:
        raise ValueError(f"limit={limit!r} needs scale='shared'; got scale='own'.")
    look = Look(opacity, outline, keep_colors)
    _check(attributions, original_images, {"masks": masks, "seen": seen, "names": names})
    pictures = [as_picture(image) for image in original_images]
    maps = {
        method: [
            None
            if attr is None
            else placed(
                as_map(attr, f"attributions[{method!r}]"),
                pictures[i].shape[:2],
                interpolate_mode,
                None if seen is None else seen[i],
            )
            for i, attr in enumerate(found)
        ]
        for method, found in attributions.items()
    }
    outlines = [
        None if masks is None or masks[i] is None else as_mask(masks[i], p.shape[:2])
        for i, p in enumerate(pictures)
    ]
    present = [values for found in maps.values() for values in found if values is not None]
    is_own = scale == "own"
    if is_own:
        label = OWN_SCALES
    titles = [_broken(method, _CELL) for method in maps]
    figure, axes = _axes(plt_fig_axis, pictures, titles, use_pyplot)
    shared = Scale.of(present, limit)
    for i, (row, picture) in enumerate(zip(axes, pictures, strict=True)):
        draw_input(row[0], picture, outlines[i])
        row[0].set_title("")
        if names is not None:
            height = _CELL * picture.shape[0] / picture.shape[1]
            row[0].set_ylabel(_broken(names[i], height), fontsize=9, parse_math=False)
        for axis, found in zip(row[1:], maps.values(), strict=True):
            values = found[i]
            if values is None:
                _draw_missing(axis, picture)
                continue
            its = Scale.of([values]) if is_own else shared
            draw_overlay(axis, picture, values, its, look, outlines[i])
    for axis, title in zip(axes[0], ["input", *titles], strict=True):
        axis.set_title(title, fontsize=9, parse_math=False)
    bar, unit = shared, ""
    if is_own:
        present = [values / Scale.of([values]).limit for values in present]
        bar, unit = Scale.of(present, 1.0), OF_LARGEST
    # As wide for many rows as for a few.
    aspect = 15 + 10 * len(pictures)
    place = {"ax": list(axes.ravel()), "pad": 0.01, "fraction": 0.05, "aspect": aspect}
    draw_color_bar(figure, bar, label, look, **place)
    draw_legend(
        figure, bar, present, look, has_mask=masks is not None, unit=unit, class_name=class_name
    )
    show(use_pyplot)
    return figure, axes


def _check(
    attributions: Mapping[str, Batch],
    original_images: Batch,
    others: Mapping[str, Batch | None],
) -> None:
    if not isinstance(attributions, Mapping):
        raise TypeError(
            "attributions must be a mapping of methods' names to their maps; got "
            f"{type(attributions).__name__}."
        )
    parts: dict[str, Any] = {"original_images": original_images}
    parts |= {f"attributions[{method!r}]": maps for method, maps in attributions.items()}
    parts |= {name: part for name, part in others.items() if part is not None}
    for name, part in parts.items():
        if not hasattr(part, "__len__"):
            raise TypeError(
                f"{name} must be a tensor or a sequence, with an entry for each image; got "
                f"{type(part).__name__}."
            )
    n_images = len(original_images)
    if not attributions or not n_images:
        raise ValueError("attributions and original_images must have at least one entry each.")
    for name, part in parts.items():
        if len(part) != n_images:
            raise ValueError(
                f"{name} must have an entry for each of the {n_images} original_images; got "
                f"{len(part)}."
            )


def _axes(
    plt_fig_axis: tuple[Figure, Any] | None,
    pictures: Sequence[NDArray[np.float64]],
    titles: Sequence[str],
    use_pyplot: bool,
) -> tuple[Figure, NDArray[Any]]:
    n_columns = len(titles) + 1
    n_lines = max(title.count("\n") + 1 for title in titles)
    heights = sum(_CELL * picture.shape[0] / picture.shape[1] + 0.1 for picture in pictures)
    size = (n_columns * (_CELL + 0.05) + 1.3, heights + 0.15 * (n_lines + 1) + 0.45)
    return axes_for(plt_fig_axis, len(pictures), n_columns, size, use_pyplot)


def _broken(name: Any, inches: float) -> str:
    """Break a name into lines of at most this length, so that names do not overlap."""
    letters = max(1, int(inches * _LETTERS_PER_INCH))
    return "\n".join(textwrap.fill(line, letters) for line in str(name).split("\n"))


def _draw_missing(axis: Axes, picture: NDArray[np.float64]) -> None:
    axis.text(0.5, 0.5, "no map", ha="center", va="center", fontsize=9, transform=axis.transAxes)
    axis.set_box_aspect(picture.shape[0] / picture.shape[1])
    frame(axis)
