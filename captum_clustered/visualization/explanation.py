"""One figure of an explanation: the image, the maps of both methods, and the clusters."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._scalings import SCALINGS
from captum_clustered.clusters import order_clusters
from captum_clustered.scores import SCORES
from captum_clustered.visualization.arrays import as_map, as_picture, resized
from captum_clustered.visualization.canvas import shortened
from captum_clustered.visualization.clusters import cluster_grid, cluster_titles, draw_clusters
from captum_clustered.visualization.methods import visualize_methods
from captum_clustered.visualization.scale import Scale

if TYPE_CHECKING:
    from captum_clustered.explain import ExplainerSettings, Explanation

_MAX_CLUSTERS = 12
# Few clusters are drawn no larger than many.
_MIN_COLUMNS = 5
# Inches. The figure is 1600 pixels wide.
_WIDTH, _DPI = 8.0, 200
_BAR, _LINE = 1.0, 0.16


def draw_explanation(explanation: Explanation) -> Figure:
    """
    Draw the image, the maps of Clustered-CAM and LayerGradCam, and the clusters.

    Args:

        explanation (Explanation): From an :class:`ImageExplainer
                    <captum_clustered.explain.ImageExplainer>`, or loaded from a file.

    Returns:
        matplotlib.figure.Figure: 1600 pixels wide.

    Examples::

        >>> figure = draw_explanation(Explanation.load("out/cat.npz"))
        >>> figure.savefig("cat.png")
    """
    picture = as_picture(explanation.input_image)
    ratio = picture.shape[0] / picture.shape[1]
    shown = order_clusters(explanation.importances, explanation.sizes, _MAX_CLUSTERS)
    n_rows, n_columns = cluster_grid(len(shown))
    n_columns = max(_MIN_COLUMNS, n_columns)
    names = Path(explanation.image).name, explanation.class_name(explanation.target)
    texts = (
        textwrap.fill(":  ".join(shortened(name, 60) for name in names), 64),
        textwrap.fill(_facts(explanation), 120),
        textwrap.fill(_caption(explanation, len(shown)), 120),
    )
    n_lines = [text.count("\n") + 1 for text in texts]
    content = _WIDTH - _BAR
    middle_height = 0.4 + _LINE * n_lines[1] + content / 3 * ratio
    bottom_height = 0.1 + _LINE * n_lines[2] + n_rows * (content / n_columns * ratio + 0.45)
    height = 0.1 + 1.4 * _LINE * n_lines[0] + middle_height + bottom_height
    figure = Figure((_WIDTH, height), dpi=_DPI, facecolor="white", layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(middle_height, bottom_height))
    # Names may hold dollar signs, which are no formulas.
    style: dict[str, Any] = {"x": 0.01, "ha": "left", "parse_math": False}
    figure.suptitle(texts[0], fontsize=11, weight="bold", **style)
    for part, text in zip(parts, texts[1:], strict=True):
        part.suptitle(text, fontsize=8, **style)
    _draw_methods(parts[0], explanation)
    maps = [resized(as_map(explanation.maps[j]), picture.shape[:2], "bilinear") for j in shown]
    draw_clusters(
        parts[1],
        parts[1].subplots(n_rows, n_columns, squeeze=False),
        picture,
        maps,
        # The caption says what the numbers are.
        cluster_titles(explanation.importances[shown], explanation.sizes[shown]),
        Scale.of(maps),
        _unit(explanation.settings),
    )
    return figure


def _unit(settings: ExplainerSettings) -> str:
    scaling = SCALINGS[settings.scaling]
    if not scaling.is_additive:
        return scaling.unit
    return f"{scaling.unit} ({SCORES[settings.score].label})\nper position"


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
    facts.append(f"{shortened(explanation.model, 40)}, {where} {shortened(settings.layer, 40)}")
    if explanation.preprocessing:
        facts.append(f"preprocessing: {explanation.preprocessing}")
    return "   |   ".join(facts)


def _caption(explanation: Explanation, n_shown: int) -> str:
    settings, n_all = explanation.settings, len(explanation.by_importance())
    criterion = IMPORTANCES[settings.importance].criterion
    caption = f"{n_all} cluster{'' if n_all == 1 else 's'} of channels, "
    if n_shown < n_all:
        caption += f"the {n_shown} of the largest absolute importance, "
    caption += f"sorted by {criterion} ({SCORES[settings.score].label})"
    if settings.n_clusterings > 1:
        caption += (
            f"; those of seed {settings.seed}, one of {settings.n_clusterings} clusterings that "
            "the map averages"
        )
    return caption


def _draw_methods(figure: Any, explanation: Explanation) -> None:
    is_additive = SCALINGS[explanation.settings.scaling].is_additive
    _, axes = visualize_methods(
        {"Clustered-CAM": [explanation.attribution], "LayerGradCam": [explanation.gradcam]},
        [explanation.input_image],
        # A map in other units than LayerGradCam's can be compared by its shape only.
        scale="shared" if is_additive else "own",
        label=_unit(explanation.settings),
        plt_fig_axis=(figure, figure.subplots(1, 3)),
        use_pyplot=False,
    )
    if explanation.gradcam is None:
        (text,) = axes[0, 2].texts
        text.set(text=textwrap.fill(explanation.gradcam_missing, 30), parse_math=False)
