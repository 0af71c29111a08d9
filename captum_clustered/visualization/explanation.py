"""One figure of an explanation: the image, the maps of both methods, and the clusters."""

from __future__ import annotations

import math
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from captum_clustered._scalings import SCALINGS
from captum_clustered.clusters import order_clusters
from captum_clustered.visualization.arrays import as_map, as_picture
from captum_clustered.visualization.canvas import MUTED
from captum_clustered.visualization.clusters import channels
from captum_clustered.visualization.explanation_text import ExplanationText
from captum_clustered.visualization.interpolation import placed
from captum_clustered.visualization.layer_attr import draw_overlay
from captum_clustered.visualization.look import Look
from captum_clustered.visualization.methods import visualize_methods
from captum_clustered.visualization.palette import MIDDLE_GRAY, OPACITY, tinted
from captum_clustered.visualization.scale import Scale, halo

if TYPE_CHECKING:
    from captum_clustered.explain import Explanation

# Clusters that have a bar of their own.
_MAX_BARS = 14
COLUMNS = 3
# Inches. The figure is 1600 pixels wide.
WIDTH, DPI = 8.0, 200
BAR, LINE, DROPS = 1.0, 0.16, 2.3
_BELOW_MAP = "sum of all clusters: opposite signs cancel\nwhite box: one cell, the finest detail"


def draw_explanation(
    explanation: Explanation,
    *,
    scale: str = "shared",
    opacity: float = OPACITY,
    outline: bool = False,
    keep_colors: bool = False,
) -> Figure:
    """
    Draw the image, the maps of Clustered-CAM and LayerGradCam, and the clusters.

    All maps are drawn on the original image if the explanation has it, and what the network did
    not see of it is hatched. A line of numbers adds up to the score. Below are the importances of
    the clusters as bars and, for up to six of the largest, where they are active, each on its
    own scale and the paler the smaller its importance. Of each sign, the largest one has a
    picture; others have a bar only if they have less than a fiftieth of the largest importance.

    Of a volume, slices through the maximum of Clustered-CAM, the maximum projection and a strip
    of axial slices are drawn.

    Args:

        explanation (Explanation): From an :class:`ImageExplainer
                    <captum_clustered.explain.ImageExplainer>`, or loaded from a file.
        scale (str, optional): "shared": both methods' maps are on one color scale. "own": each is
                    relative to its own largest value, to compare their shapes. Maps in different
                    units are always drawn so.
                    Default: "shared"
        opacity, outline, keep_colors (optional): As in
                    :func:`captum_clustered.visualization.overlay`.

    Returns:
        matplotlib.figure.Figure: 1600 pixels wide.

    Raises:

        ValueError: If an option has a value that is not accepted.

    Examples::

        >>> figure = draw_explanation(Explanation.load("out/cat.npz"))
        >>> figure.savefig("cat.png")
    """
    look = Look(opacity, outline, keep_colors)
    if explanation.affine is not None:
        # It uses the parts of this module.
        from captum_clustered.visualization.volume_explanation import draw_volume_explanation

        return draw_volume_explanation(explanation, scale, look)
    # A map in other units than LayerGradCam's can be compared by its shape only.
    has_own_scales = scale == "own" or not explanation.settings.is_additive
    picture = explanation.picture
    ratio = picture.shape[0] / picture.shape[1]
    shown = order_clusters(explanation.importances, explanation.sizes, _MAX_BARS)
    words = ExplanationText(explanation)
    title, facts, caption, foot = (
        wrapped(text, width)
        for text, width in (
            (words.title(), 72),
            (words.balance(), 130),
            (f"{words.caution(has_own_scales)}\n\n{words.caption()}", 120),
            (words.foot(), 150),
        )
    )
    n_lines = [text.count("\n") + 1 for text in (title, facts, caption, foot)]
    map_height = (WIDTH - BAR - 0.25) / 3 * ratio
    middle_height = 0.75 + 1.1 * LINE * n_lines[1] + map_height
    bottom_height = clusters_height(words, n_lines[2], len(shown), ratio)
    height = 0.2 + LINE * (1.3 * n_lines[0] + n_lines[3]) + middle_height + bottom_height
    figure = Figure((WIDTH, height), dpi=DPI, facecolor="white", layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(middle_height, bottom_height))
    # Names may hold dollar signs, which are no formulas.
    style: dict[str, Any] = {"x": 0.01, "ha": "left", "parse_math": False}
    figure.suptitle(title, fontsize=11, weight="bold", **style)
    figure.supxlabel(foot, fontsize=6.5, color=MUTED, **style)
    parts[0].suptitle(facts, fontsize=8.5, **style)
    parts[1].suptitle(caption, fontsize=8, **style)
    _draw_methods(parts[0], explanation, has_own_scales, look, words, map_height)
    drops, pictures = parts[1].subfigures(1, 2, width_ratios=(DROPS, WIDTH - DROPS))
    draw_drops(drops.subplots(), explanation, shown, words)
    axes = pictures.subplots(n_rows(words), COLUMNS, squeeze=False).ravel()
    _draw_clusters(axes, explanation, look, words)
    return figure


def n_rows(words: ExplanationText) -> int:
    """Return the number of rows of pictures of clusters."""
    return max(1, math.ceil(len(words.pictured) / COLUMNS))


def clusters_height(words: ExplanationText, n_lines: int, n_bars: int, ratio: float) -> float:
    """Return the height of the clusters' part of a figure, whose pictures have a ratio."""
    picture = (WIDTH - DROPS - 0.3) / COLUMNS * ratio
    return 0.2 + LINE * n_lines + max(n_rows(words) * (picture + 0.6), 0.2 * n_bars + 0.4)


def faded(look: Look, explanation: Explanation, cluster: int) -> Look:
    """Return how the map of a cluster is drawn: as vivid as the cluster is important."""
    # The root, because the smallest would not be seen otherwise.
    importances = np.abs(explanation.importances)
    return replace(look, strength=math.sqrt(importances[cluster] / importances.max()))


def draw_drops(
    axis: Axes, explanation: Explanation, shown: list[int], words: ExplanationText
) -> None:
    """Draw a bar for each cluster, the most important first, and one for all others."""
    values = [float(explanation.importances[j]) for j in shown]
    names = [f"cluster {j}" for j in shown]
    others = sorted(set(explanation.by_importance()) - set(shown))
    if others:
        values.append(float(explanation.importances[others].sum()))
        names.append(f"{len(others)} others")
    places = np.arange(len(values))[::-1]
    # As the ends of the color bar.
    gray = np.full((1, len(values), 3), MIDDLE_GRAY)
    axis.barh(places, values, color=tinted(gray, np.sign([values]))[0])
    labels = [f"{name}: {words.number(v)}" for name, v in zip(names, values, strict=True)]
    axis.set_yticks(places, labels, fontsize=8)
    for j, label in zip(shown, axis.get_yticklabels(), strict=False):
        if j in words.pictured:
            label.set_fontweight("bold")
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=7)
    axis.xaxis.set_major_locator(MaxNLocator(3))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\u2212"))
    axis.set_xlabel(words.axis(), fontsize=8, parse_math=False)
    axis.axvline(0, color="black", linewidth=0.6)
    axis.spines[["top", "left", "right"]].set_visible(False)


def _draw_clusters(axes: Any, explanation: Explanation, look: Look, words: ExplanationText) -> None:
    """Draw where clusters are active, each on its own scale and as vivid as it is important."""
    picture = as_picture(explanation.picture)
    for axis in axes[len(words.pictured) :]:
        axis.set_axis_off()
    for axis, j in zip(axes, words.pictured, strict=False):
        values = placed(as_map(explanation.maps[j]), picture.shape[:2], seen=explanation.seen)
        draw_overlay(axis, picture, values, Scale.of([values]), faded(look, explanation, j))
        axis.set_title(cluster_title(j, words), fontsize=8)
        axis.set_xlabel(channels(explanation.sizes[j]), fontsize=6.5, color=MUTED)


def wrapped(text: str, width: int) -> str:
    """Break each line of a text where it is longer than a width, in letters."""
    return "\n".join(textwrap.fill(line, width) for line in text.split("\n"))


def cluster_title(cluster: int, words: ExplanationText) -> str:
    """Return the title of the picture of a cluster."""
    return f"cluster {cluster}\n{textwrap.fill(words.effect(cluster), 30)}"


def _draw_methods(
    figure: Any,
    explanation: Explanation,
    has_own_scales: bool,
    look: Look,
    words: ExplanationText,
    height: float,
) -> None:
    settings = explanation.settings
    label = f"{SCALINGS[settings.scaling].unit.replace('score', words.score)} per position"
    _, axes = visualize_methods(
        {"Clustered-CAM": [explanation.attribution], "LayerGradCam": [explanation.gradcam]},
        [explanation.picture],
        scale="own" if has_own_scales else "shared",
        opacity=look.opacity,
        outline=look.outline,
        keep_colors=look.keep_colors,
        # No longer than the bar.
        label=textwrap.fill(label, max(10, int(height * 12))),
        seen=[explanation.seen],
        class_name=words.name(),
        plt_fig_axis=(figure, figure.subplots(1, 3)),
        use_pyplot=False,
    )
    _draw_cell(axes[0, 1], explanation)
    axes[0, 1].set_xlabel(_BELOW_MAP, fontsize=7)
    if explanation.gradcam is not None:
        axes[0, 2].set_xlabel("for comparison: by the gradient", fontsize=7)
    else:
        (text,) = axes[0, 2].texts
        text.set(text=textwrap.fill(explanation.gradcam_missing, 30), parse_math=False)


def _draw_cell(axis: Axes, explanation: Explanation) -> None:
    """Draw one position of the layer in the lower left corner of what the network saw."""
    (height, width), cells = explanation.picture.shape[:2], explanation.attribution.shape
    top, left, bottom, right = explanation.seen
    size = ((right - left) * width / cells[1], (bottom - top) * height / cells[0])
    # matplotlib's first pixel has its center at zero.
    corner = (left * width - 0.5, bottom * height - 0.5 - size[1])
    axis.add_patch(
        Rectangle(
            corner, *size, fill=False, edgecolor="white", linewidth=0.8, path_effects=halo(0.8)
        )
    )
