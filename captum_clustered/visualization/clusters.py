"""The clusters of channels behind an attribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered.clusters import Clusters
from captum_clustered.visualization.arrays import (
    ArrayOrTensor,
    as_map,
    as_mask,
    as_picture,
    resized,
)
from captum_clustered.visualization.canvas import axes_for, show
from captum_clustered.visualization.overlay import draw_overlay
from captum_clustered.visualization.scale import Scale, draw_color_bar, signed_text

__all__ = ["most_important", "visualize_clusters"]

_COLUMNS = 6
_CELL = 1.75


def visualize_clusters(
    clusters: Clusters,
    original_image: ArrayOrTensor,
    *,
    example: int = 0,
    max_clusters: int = 12,
    importance: str = "ablation",
    interpolate_mode: str = "bilinear",
    limit: float | None = None,
    label: str = "share of the attribution",
    mask: ArrayOrTensor | None = None,
    plt_fig_axis: tuple[Figure, Any] | None = None,
    use_pyplot: bool = True,
) -> tuple[Figure, NDArray[Any]]:
    """
    Draws what each cluster of channels contributes to one example's attribution.

    A panel for each cluster, the most important first, all on one color scale: its map, as
    :func:`visualize_layer_attr` draws it, its importance in units of the score and its
    number of channels. Clusters without channels in this example are left out. Those of a
    ``n_clusterings`` are of the run of ``seed`` alone.

    Args:

        clusters (Clusters): From ``attribute(..., return_clusters=True)``, of a layer of
                    one tensor with maps (N, k, h, w).
        original_image (Tensor, numpy.ndarray or PIL.Image.Image): The example's image, as
                    in :func:`visualize_layer_attr`.
        example (int, optional): Which of the N examples.
                    Default: 0
        max_clusters (int, optional): If there are more clusters, those of the largest
                    absolute importance are drawn.
                    Default: 12
        importance (str, optional): What the importances are: "ablation" or "shapley", as
                    given to ``ClusteredLayerCAM``.
                    Default: "ablation"
        interpolate_mode (str, optional): As in :func:`visualize_layer_attr`.
                    Default: "bilinear"
        limit (float, optional): As in :func:`visualize_layer_attr`.
                    Default: None (the largest absolute value of the maps drawn)
        label (str, optional): As in :func:`visualize_layer_attr`.
                    Default: "share of the attribution"
        mask (Tensor or numpy.ndarray, optional): As in :func:`visualize_layer_attr`.
                    Default: None
        plt_fig_axis (tuple, optional): Figure and axes, one for each cluster that is drawn.
                    Default: None (new ones)
        use_pyplot (bool, optional): Whether to make the figure with pyplot, and to show it.
                    Default: True

    Returns:
        2-element tuple of **figure**, **axes** (*numpy.ndarray* of the clusters' axes, 1-D).

    Raises:

        TypeError: If ``clusters`` is no Clusters.
        ValueError: If its layer has several tensors or no map of two dimensions, or an
                    argument is none of those accepted.
        IndexError: If there is no such example.

    Examples::

        >>> _, clusters = cam.attribute(x, target=281, return_clusters=True)
        >>> figure, axes = visualize_clusters(clusters, image, max_clusters=6)
    """
    maps, importances, sizes = _of_example(clusters, example)
    if importance not in IMPORTANCES:
        raise ValueError(f"importance must be one of {tuple(IMPORTANCES)}; got {importance!r}.")
    if max_clusters < 1:
        raise ValueError(f"max_clusters must be at least 1; got {max_clusters}.")
    picture = as_picture(original_image)
    size = picture.shape[:2]
    outline = None if mask is None else as_mask(mask, size)
    chosen = most_important(importances, sizes, max_clusters)
    drawn = {j: resized(as_map(maps[j], "clusters.maps"), size, interpolate_mode) for j in chosen}
    scale = Scale.of(drawn.values(), limit)
    figure, axes, spare = _axes(plt_fig_axis, len(chosen), size[0] / size[1], use_pyplot)
    for axis, (j, values) in zip(axes, drawn.items(), strict=True):
        draw_overlay(axis, picture, values, scale, outline)
        noun = "channel" if sizes[j] == 1 else "channels"
        worth = signed_text(float(importances[j]))
        axis.set_title(f"{IMPORTANCES[importance].label} {worth}\n{sizes[j]} {noun}", fontsize=9)
    for axis in spare:
        axis.set_axis_off()
    draw_color_bar(figure, scale, label, ax=[*axes, *spare], pad=0.01, fraction=0.05, aspect=25)
    n_all = int((sizes > 0).sum())
    if plt_fig_axis is None and len(chosen) < n_all:
        figure.suptitle(f"{len(chosen)} of {n_all} clusters", fontsize=10)
    show(use_pyplot)
    return figure, axes


def most_important(importances: NDArray[Any], sizes: NDArray[Any], max_clusters: int) -> list[int]:
    """
    The clusters with channels, the most important first.

    Args:

        importances (numpy.ndarray): (k,).
        sizes (numpy.ndarray): (k,).
        max_clusters (int): If there are more, those of the largest absolute importance.
    """
    order = [int(j) for j in np.argsort(-importances, kind="stable") if sizes[j] > 0]
    kept = set(sorted(order, key=lambda j: -abs(float(importances[j])))[:max_clusters])
    return [j for j in order if j in kept]


def _of_example(clusters: Clusters, example: int) -> tuple[Tensor, NDArray[Any], NDArray[Any]]:
    if not isinstance(clusters, Clusters):
        raise TypeError(
            "clusters must be a Clusters, from attribute(..., return_clusters=True); got "
            f"{type(clusters).__name__}."
        )
    maps, importances, sizes = clusters.maps, clusters.importances, clusters.sizes
    if (
        not isinstance(maps, Tensor)
        or not isinstance(importances, Tensor)
        or not isinstance(sizes, Tensor)
    ):
        raise ValueError(
            "clusters must be of a layer of one tensor; for another take one tensor's labels, "
            "importances, maps and sizes with dataclasses.replace."
        )
    if maps.dim() != 4:
        raise ValueError(
            f"clusters.maps must have shape (N, k, h, w); got {tuple(maps.shape)}. Tokens are "
            "arranged by dataclasses.replace(clusters, maps=tokens_to_map(clusters.maps, grid))."
        )
    if not -len(maps) <= example < len(maps):
        raise IndexError(f"example {example} is out of range: clusters has {len(maps)} examples.")
    return (
        maps[example],
        np.asarray(importances[example].detach().cpu().double()),
        np.asarray(sizes[example].cpu()),
    )


def _axes(
    plt_fig_axis: tuple[Figure, Any] | None, n: int, ratio: float, use_pyplot: bool
) -> tuple[Figure, NDArray[Any], list[Axes]]:
    """The figure, an axis for each cluster, and those left over in the last row."""
    if plt_fig_axis is not None:
        figure, axes = axes_for(plt_fig_axis, 1, n, (0, 0), use_pyplot)
        return figure, axes[0], []
    n_rows = math.ceil(n / _COLUMNS)
    n_columns = math.ceil(n / n_rows)
    height = n_rows * (_CELL * ratio + 0.45) + 0.35
    figure, axes = axes_for(None, n_rows, n_columns, (n_columns * _CELL + 1.3, height), use_pyplot)
    return figure, axes.ravel()[:n], list(axes.ravel()[n:])
