"""One figure of the explanation of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from captum_clustered.clusters import order_clusters
from captum_clustered.visualization.canvas import MUTED
from captum_clustered.visualization.explanation import (
    BAR,
    COLUMNS,
    DPI,
    DROPS,
    LINE,
    WIDTH,
    cluster_title,
    clusters_height,
    draw_drops,
    faded,
    n_rows,
    wrapped,
)
from captum_clustered.visualization.explanation_text import ExplanationText
from captum_clustered.visualization.layer_attr import draw_legend
from captum_clustered.visualization.look import Look
from captum_clustered.visualization.oriented import PLANES, Oriented, plane_of
from captum_clustered.visualization.scale import Scale, draw_color_bar
from captum_clustered.visualization.volume import maximum_of, strip_of

if TYPE_CHECKING:
    from captum_clustered.explain import Explanation

_MAX_BARS = 12
_STRIP = 8


def draw_volume_explanation(explanation: Explanation, scale: str, look: Look) -> Figure:
    """Draw the explanation of a volume, as :func:`draw_explanation` says."""
    affine, gray = explanation.affine, np.asarray(explanation.original_image) / np.float32(255)
    volume = Oriented.of(gray, affine)
    attribution = volume.turned(explanation.on_volume(explanation.attribution))
    maps = {"Clustered-CAM": attribution}
    if explanation.gradcam is not None:
        maps["LayerGradCam"] = volume.turned(explanation.on_volume(explanation.gradcam))
    place = maximum_of(attribution)
    panels = [*((across, place[across]) for across in PLANES), (1, None)]
    widths, tall = zip(*(volume.size(across) for across, _ in panels), strict=True)
    ratio = volume.size(2)[1] / volume.size(2)[0]
    words = ExplanationText(explanation)
    is_shared = scale == "shared" and explanation.settings.is_additive
    shown = order_clusters(explanation.importances, explanation.sizes, _MAX_BARS)
    texts = (
        wrapped(words.title(), 72),
        wrapped(f"{words.balance()}\n{_where(explanation)}", 110),
        f"{wrapped(words.caution(not is_shared), 120)}\n\n"
        f"Clustered-CAM in axial slices of {attribution.shape[2]}, from the top downwards",
        wrapped(words.caption(), 120),
    )
    n_lines = [text.count("\n") + 1 for text in texts]
    content = WIDTH - BAR
    heights = (
        0.6 + LINE * n_lines[1] + (1 + len(maps)) * (max(tall) / sum(widths) * content + 0.05),
        0.5 + LINE * (n_lines[2] - 1) + 2 * WIDTH / _STRIP * ratio,
        clusters_height(words, n_lines[3], len(shown), ratio),
    )
    height = 0.1 + 1.4 * LINE * n_lines[0] + sum(heights) + 0.4
    figure = Figure((WIDTH, height), dpi=DPI, facecolor="white", layout="constrained")
    style: dict[str, Any] = {"x": 0.01, "ha": "left", "parse_math": False}
    figure.suptitle(texts[0], fontsize=11, weight="bold", **style)
    foot = wrapped(words.foot(), 150)
    figure.supxlabel(foot, fontsize=6.5, color=MUTED, **style)
    parts: Any = figure.subfigures(3, 1, height_ratios=heights)
    for part, text in zip(parts, texts[1:], strict=True):
        part.suptitle(text, fontsize=8, **style)
    label = words.score if is_shared else "relative to each map's\nlargest value"
    axes = parts[0].subplots(1 + len(maps), len(panels), squeeze=False, width_ratios=widths)
    scales = _draw_methods(axes, volume, maps, panels, is_shared, look)
    relative = list(maps.values())
    if not is_shared:
        relative = [values / its.limit for values, its in zip(relative, scales, strict=True)]
    bar = scales[0] if is_shared else Scale.of(relative, 1.0)
    place_of_bar = {"ax": list(axes.flat), "pad": 0.01, "fraction": 0.05, "aspect": 40}
    draw_color_bar(parts[0], bar, label, look, **place_of_bar)
    planes = [plane_of(values, *panel) for values in relative for panel in panels]
    draw_legend(parts[0], bar, planes, look, class_name=words.name())
    _draw_strip(parts[1], volume, attribution, place[2], look)
    drops, pictures = parts[2].subfigures(1, 2, width_ratios=(DROPS, WIDTH - DROPS))
    draw_drops(drops.subplots(), explanation, shown, words)
    axes = pictures.subplots(n_rows(words), COLUMNS, squeeze=False)
    _draw_clusters(axes.ravel(), explanation, volume, look, words)
    return figure


def _where(explanation: Explanation) -> str:
    values = explanation.on_volume(explanation.attribution)
    voxel = maximum_of(values)
    affine = np.asarray(explanation.affine)
    x, y, z = affine[:3, :3] @ voxel + affine[:3, 3]
    return f"maximum at voxel {voxel}, ({x:.1f}, {y:.1f}, {z:.1f}) mm"


def _draw_methods(
    axes: NDArray[Any],
    volume: Oriented,
    maps: dict[str, NDArray[Any]],
    panels: Sequence[tuple[int, int | None]],
    is_shared: bool,
    look: Look,
) -> list[Scale]:
    """Draw a row of planes for the volume and for each map; return the scales of the maps."""
    shared = Scale.of(maps.values())
    scales = [shared if is_shared else Scale.of([values]) for values in maps.values()]
    rows = zip(axes, [("input", None), *maps.items()], [shared, *scales], strict=True)
    for row, (name, values), its in rows:
        for axis, (across, index) in zip(row, panels, strict=True):
            volume.draw(axis, across, index, values, its, look)
            if values is None:
                axis.set_title(volume.title(across, index), fontsize=8)
        row[0].set_ylabel(name, fontsize=9)
    return scales


def _draw_strip(
    figure: Any, volume: Oriented, values: NDArray[Any], chosen: int, look: Look
) -> None:
    scale = Scale.of([values])
    indices = strip_of(values.shape[2], chosen, _STRIP)
    axes = figure.subplots(2, len(indices), squeeze=False)
    for column, index in zip(axes.T, indices, strict=True):
        volume.draw(column[0], 2, index, None, scale, has_letters=False)
        volume.draw(column[1], 2, index, values, scale, look, has_letters=False)
        column[0].set_title(str(index + 1), fontsize=8)


def _draw_clusters(
    axes: Any, explanation: Explanation, volume: Oriented, look: Look, words: ExplanationText
) -> None:
    """Draw the most important clusters, each in its own slice and on its own scale."""
    chosen = words.pictured
    for axis, j in zip(axes, chosen, strict=False):
        values = volume.turned(explanation.on_volume(explanation.maps[j]))
        index = maximum_of(np.abs(values))[2]
        its = faded(look, explanation, j)
        volume.draw(axis, 2, index, values, Scale.of([values]), its, has_letters=False)
        axis.set_title(cluster_title(j, words), fontsize=8)
        axis.set_xlabel(f"slice {index + 1}", fontsize=8)
    for axis in axes[len(chosen) :]:
        axis.set_axis_off()
