"""One figure of an explanation: the image, the maps of both methods, and the clusters."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._scalings import SCALINGS
from captum_clustered.clusters import order_clusters
from captum_clustered.scores import SCORES
from captum_clustered.visualization.arrays import as_map, as_picture
from captum_clustered.visualization.canvas import shortened
from captum_clustered.visualization.clusters import cluster_titles, draw_clusters
from captum_clustered.visualization.interpolation import placed
from captum_clustered.visualization.look import Look
from captum_clustered.visualization.methods import visualize_methods
from captum_clustered.visualization.palette import OPACITY, TABLE
from captum_clustered.visualization.scale import Scale, signed_text

if TYPE_CHECKING:
    from captum_clustered.explain import ExplainerSettings, Explanation

# Clusters that have a bar of their own, and those that have a picture.
_MAX_BARS = 14
_ROWS, _COLUMNS = 2, 3
# Inches. The figure is 1600 pixels wide.
_WIDTH, _DPI = 8.0, 200
_BAR, _LINE, _DROPS = 1.0, 0.16, 2.3


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
    not see of it is hatched. Below are the importances of the clusters as bars and, for the most
    important ones, where they are active, each on its own scale.

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
    picture = explanation.picture
    ratio = picture.shape[0] / picture.shape[1]
    shown = order_clusters(explanation.importances, explanation.sizes, _MAX_BARS)
    names = Path(explanation.image).name, explanation.class_name(explanation.target)
    texts = (
        textwrap.fill(":  ".join(shortened(name, 60) for name in names), 64),
        textwrap.fill(_facts(explanation), 120),
        textwrap.fill(_caption(explanation), 120),
    )
    n_lines = [text.count("\n") + 1 for text in texts]
    content = _WIDTH - _BAR
    middle_height = 0.75 + _LINE * n_lines[1] + content / 3 * ratio
    panel = (content - _DROPS) / _COLUMNS * ratio
    bottom_height = 0.2 + _LINE * n_lines[2] + max(_ROWS * (panel + 0.45), 0.2 * len(shown))
    height = 0.1 + 1.4 * _LINE * n_lines[0] + middle_height + bottom_height
    figure = Figure((_WIDTH, height), dpi=_DPI, facecolor="white", layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(middle_height, bottom_height))
    # Names may hold dollar signs, which are no formulas.
    style: dict[str, Any] = {"x": 0.01, "ha": "left", "parse_math": False}
    figure.suptitle(texts[0], fontsize=11, weight="bold", **style)
    for part, text in zip(parts, texts[1:], strict=True):
        part.suptitle(text, fontsize=8, **style)
    _draw_methods(parts[0], explanation, scale, look)
    drops, pictures = parts[1].subfigures(1, 2, width_ratios=(_DROPS, _WIDTH - _DROPS))
    _draw_drops(drops.subplots(), explanation, shown)
    _draw_clusters(pictures, explanation, look)
    return figure


def _draw_drops(axis: Axes, explanation: Explanation, shown: list[int]) -> None:
    """Draw a bar for each cluster, the most important first, and one for all others."""
    values = [float(explanation.importances[j]) for j in shown]
    names = [f"cluster {j}" for j in shown]
    others = sorted(set(explanation.by_importance()) - set(shown))
    if others:
        values.append(float(explanation.importances[others].sum()))
        names.append(f"{len(others)} others")
    places = np.arange(len(values))[::-1]
    colors = [TABLE[-1 if value > 0 else 0, :3] / 255 for value in values]
    axis.barh(places, values, color=colors, edgecolor="#444444", linewidth=0.5)
    labels = [f"{name}: {signed_text(v)}" for name, v in zip(names, values, strict=True)]
    axis.set_yticks(places, labels, fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.set_xticks([])
    axis.axvline(0, color="black", linewidth=0.6)
    axis.spines[:].set_visible(False)


def _draw_clusters(figure: Any, explanation: Explanation, look: Look) -> None:
    """Draw where the most important clusters are active, each on its own scale."""
    picture = as_picture(explanation.picture)
    importances, sizes = explanation.importances, explanation.sizes
    chosen = [j for j in order_clusters(importances, sizes, _ROWS * _COLUMNS) if importances[j]]
    maps = [
        placed(as_map(explanation.maps[j]), picture.shape[:2], seen=explanation.seen)
        for j in chosen
    ]
    draw_clusters(
        figure,
        figure.subplots(_ROWS, _COLUMNS, squeeze=False),
        picture,
        maps,
        cluster_titles(chosen, importances, sizes, ""),
        Scale.of(maps),
        "",
        look,
        has_own_scales=True,
    )


def _unit(settings: ExplainerSettings) -> str:
    unit = SCALINGS[settings.scaling].unit
    if not settings.is_additive:
        return unit
    return f"{unit} ({SCORES[settings.score].label})\nper position"


def _facts(explanation: Explanation) -> str:
    settings, predicted = explanation.settings, explanation.prediction
    facts = [f"probability {explanation.probability:.1%}"]
    others = [index for index in explanation.findings if index != explanation.target]
    if explanation.settings.multi_label:
        names = [
            f"{shortened(explanation.class_name(i), 30)} ({explanation.probabilities[i]:.1%})"
            for i in others
        ]
        facts += [f"also found: {', '.join(names)}"] if names else []
    elif predicted != explanation.target:
        name = shortened(explanation.class_name(predicted), 30)
        facts.append(f"predicted: {name} ({explanation.probabilities[predicted]:.1%})")
    if settings.score != "probability":
        facts.append(f"{SCORES[settings.score].label} {explanation.score:.3g}")
    where = "input of layer" if settings.layer_input else "layer"
    facts.append(
        f"{shortened(explanation.model, 40)}, {where} {shortened(settings.layer_names, 40)}"
    )
    if settings.fused:
        facts.append(f"maps: {settings.fused}")
    if settings.views:
        facts.append(f"maps: means over the views {', '.join(settings.views)}")
    if explanation.preprocessing:
        facts.append(f"preprocessing: {explanation.preprocessing}")
    return "   |   ".join(facts)


def _caption(explanation: Explanation) -> str:
    settings, n_all = explanation.settings, len(explanation.by_importance())
    criterion = IMPORTANCES[settings.importance].criterion
    caption = (
        f"{n_all} cluster{'' if n_all == 1 else 's'} of channels: {criterion} "
        f"({SCORES[settings.score].label}), and where the most important ones are active"
    )
    if settings.n_clusterings > 1:
        caption += (
            f"; those of seed {settings.seed}, one of {settings.n_clusterings} clusterings that "
            "the map averages"
        )
    if settings.fused:
        caption += f"; those of layer {shortened(settings.layers[-1], 40)}"
    if settings.views:
        caption += "; those of the input itself, not of the views"
    return caption


def _draw_methods(figure: Any, explanation: Explanation, scale: str, look: Look) -> None:
    # A map in other units than LayerGradCam's can be compared by its shape only.
    _, axes = visualize_methods(
        {"Clustered-CAM": [explanation.attribution], "LayerGradCam": [explanation.gradcam]},
        [explanation.picture],
        scale=scale if explanation.settings.is_additive else "own",
        opacity=look.opacity,
        outline=look.outline,
        keep_colors=look.keep_colors,
        label=_unit(explanation.settings),
        seen=[explanation.seen],
        plt_fig_axis=(figure, figure.subplots(1, 3)),
        use_pyplot=False,
    )
    if explanation.gradcam is None:
        (text,) = axes[0, 2].texts
        text.set(text=textwrap.fill(explanation.gradcam_missing, 30), parse_math=False)
