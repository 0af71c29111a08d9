"""The clusters of channels behind an attribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._argument_checks import check_choice, check_int, check_type
from captum_clustered.clusters import Clusters, order_clusters
from captum_clustered.visualization.arrays import ArrayOrTensor, as_map, as_mask, as_picture
from captum_clustered.visualization.canvas import axes_for, show
from captum_clustered.visualization.interpolation import Seen, placed
from captum_clustered.visualization.layer_attr import draw_input, draw_legend, draw_overlay
from captum_clustered.visualization.look import Look
from captum_clustered.visualization.palette import OPACITY
from captum_clustered.visualization.scale import (
    OF_LARGEST,
    OWN_SCALES,
    Scale,
    draw_color_bar,
    signed_text,
)

_COLUMNS = 6
_CELL = 1.75


def visualize_clusters(
    clusters: Clusters,
    original_image: ArrayOrTensor,
    *,
    example: int = 0,
    max_clusters: int = 12,
    importance: str = "ablation",
    scale: str = "shared",
    opacity: float = OPACITY,
    outline: bool = False,
    keep_colors: bool = False,
    interpolate_mode: str = "smooth",
    limit: float | None = None,
    label: str = "share of the attribution",
    mask: ArrayOrTensor | None = None,
    seen: Seen | None = None,
    plt_fig_axis: tuple[Figure, Any] | None = None,
    use_pyplot: bool = True,
) -> tuple[Figure, NDArray[Any]]:
    """
    Draw what each cluster of channels contributes to one example's attribution.

    Draws the image and a panel for each cluster, the most important first. A panel shows the
    cluster's map, as :func:`visualize_layer_attr` draws it, its number, its importance in units
    of the score and its number of channels. Clusters without channels in this example are
    left out. With ``n_clusterings`` above 1, the clusters are those of the first clustering.

    Args:

        clusters (Clusters): From ``attribute(..., return_clusters=True)``, of a layer of
                    one tensor with maps (N, k, h, w).
        original_image (Tensor, numpy.ndarray or PIL.Image.Image): The example's image, as
                    in :func:`visualize_layer_attr`.
        example (int, optional): Which of the N examples.
                    Default: 0
        max_clusters (int, optional): If there are more clusters, draw those of the largest
                    absolute importance.
                    Default: 12
        importance (str, optional): What the importances are, as given to
                    ``ClusteredLayerCAM``.
                    Default: "ablation"
        scale (str, optional): "shared": one color scale, on which the maps can be compared.
                    "own": each map relative to its own largest absolute value, which shows where
                    a cluster of small importance is active.
                    Default: "shared"
        opacity, outline, keep_colors, interpolate_mode, seen (optional): As in
                    :func:`captum_clustered.visualization.overlay`.
        limit, label, mask (optional): As in :func:`visualize_layer_attr`; limit is the end of a
                    shared scale.
        plt_fig_axis (tuple, optional): Figure and axes, one for each cluster that is drawn;
                    without the image and the legend.
                    Default: None (new ones)
        use_pyplot (bool, optional): Whether to make the figure with pyplot and show it.
                    Default: True

    Returns:
        2-element tuple of **figure**, **axes** (*numpy.ndarray* of the clusters' axes, 1-D).

    Raises:

        TypeError: If ``clusters`` is not a Clusters.
        ValueError: If its layer has several tensors or its maps are not two-dimensional, or
                    an argument has a value that is not accepted.
        IndexError: If there is no such example.

    Examples::

        >>> _, clusters = cam.attribute(x, target=281, return_clusters=True)
        >>> figure, axes = visualize_clusters(clusters, image, max_clusters=6)
    """
    maps, importances, sizes = _of_example(clusters, example)
    check_choice("importance", importance, IMPORTANCES)
    check_choice("scale", scale, ("shared", "own"))
    check_int("max_clusters", max_clusters, 1)
    look = Look(opacity, outline, keep_colors)
    picture = as_picture(original_image)
    height, width = picture.shape[:2]
    outlined = None if mask is None else as_mask(mask, (height, width))
    chosen = order_clusters(importances, sizes, max_clusters)
    drawn = [
        placed(as_map(maps[j], "clusters.maps"), (height, width), interpolate_mode, seen)
        for j in chosen
    ]
    shared = Scale.of(drawn, limit)
    titles = _titles(chosen, importances, sizes, IMPORTANCES[importance].label)
    is_new = plt_fig_axis is None
    n_panels = len(chosen) + is_new
    n_rows, n_columns = cluster_grid(n_panels) if is_new else (1, n_panels)
    fig_size = (n_columns * _CELL + 1.3, n_rows * (_CELL * height / width + 0.65) + 0.8)
    figure, axes = axes_for(plt_fig_axis, n_rows, n_columns, fig_size, use_pyplot)
    places = axes.ravel()[is_new:]
    bar, unit = shared, ""
    scales = [shared] * len(drawn)
    relative = drawn
    if scale == "own":
        scales = [Scale.of([values]) for values in drawn]
        relative = [values / its.limit for values, its in zip(drawn, scales, strict=True)]
        bar, label, unit = Scale.of(relative, 1.0), OWN_SCALES, OF_LARGEST
    for axis, values, its, title in zip(places, drawn, scales, titles, strict=False):
        draw_overlay(axis, picture, values, its, look, outlined)
        axis.set_title(title, fontsize=9)
    for axis in places[len(drawn) :]:
        axis.set_axis_off()
    draw_color_bar(figure, bar, label, look, ax=list(places), pad=0.01, fraction=0.05, aspect=25)
    if is_new:
        draw_input(axes[0, 0], picture, outlined)
        draw_legend(figure, bar, relative, look, has_mask=mask is not None, unit=unit)
    n_all = int((sizes > 0).sum())
    if is_new and len(chosen) < n_all:
        figure.suptitle(f"{len(chosen)} of {n_all} clusters", fontsize=10)
    show(use_pyplot)
    return figure, places[: len(chosen)]


def cluster_grid(n: int) -> tuple[int, int]:
    """Return the number of rows and of columns for n clusters."""
    n_rows = math.ceil(n / _COLUMNS)
    return n_rows, math.ceil(n / n_rows)


def _titles(
    chosen: Sequence[int], importances: NDArray[Any], sizes: NDArray[Any], name: str
) -> list[str]:
    """Return a title for each chosen cluster: number, importance with its name, and size."""
    return [
        f"cluster {j}\n{name} {signed_text(float(importances[j]))}\n{channels(sizes[j])}"
        for j in chosen
    ]


def channels(size: int) -> str:
    """Return the size of a cluster in words."""
    return f"{size} channel{'' if size == 1 else 's'}"


def _of_example(clusters: Clusters, example: int) -> tuple[Tensor, NDArray[Any], NDArray[Any]]:
    what = "a Clusters, from attribute(..., return_clusters=True)"
    check_type("clusters", clusters, Clusters, what)
    maps, importances, sizes = clusters.maps, clusters.importances, clusters.sizes
    if isinstance(maps, tuple) or isinstance(importances, tuple) or isinstance(sizes, tuple):
        raise ValueError(
            "clusters must be of a layer of one tensor; for another layer take one tensor's "
            "labels, importances, maps and sizes with dataclasses.replace."
        )
    if maps.dim() != 4:
        raise ValueError(
            f"clusters.maps must have shape (N, k, h, w); got {tuple(maps.shape)}. For tokens use "
            "dataclasses.replace(clusters, maps=tokens_to_map(clusters.maps, grid))."
        )
    if not -len(maps) <= example < len(maps):
        raise IndexError(f"example {example} is out of range: clusters has {len(maps)} examples.")
    return (
        maps[example],
        np.asarray(importances[example].detach().cpu().double()),
        np.asarray(sizes[example].cpu()),
    )
