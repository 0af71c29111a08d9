"""One figure to look at: the picture, both methods on one scale, and the clusters."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._maps import SCALINGS
from captum_clustered.explain import ExplainerSettings, Explanation
from captum_clustered.models import Model
from captum_clustered.scores import SCORES
from captum_clustered.visualization.arrays import as_map, as_picture, resized
from captum_clustered.visualization.canvas import UPRIGHT, frame
from captum_clustered.visualization.clusters import most_important
from captum_clustered.visualization.overlay import draw_overlay
from captum_clustered.visualization.scale import Scale, draw_color_bar, signed_text

__all__ = ["INK", "INTERPOLATION", "MUTED", "draw", "save_figure"]

Array = npt.NDArray[Any]
DPI = 100
INTERPOLATION = "bilinear"
MAX_CLUSTERS = 12
# More clusters than this are laid out in two rows.
ONE_ROW = 6
INK = "#1a1a1a"
MUTED = "#666666"

# Lengths in inches; 16 wide makes 1600 pixels.
WIDTH = 16.0
MARGIN = 0.5
HEADER = 1.25
PANEL_GAP = 0.3
PANEL_TITLE = 0.42
SECTION = 0.95
CELL_GAP = 0.2
CELL_TITLE = 0.62
ROW_GAP = 0.2
BAR_WIDTH = 0.2
BAR_ROOM = 1.35
MAX_CELL = 2.9


class _Page:
    """A figure on which places are given in inches from the top left."""

    def __init__(self, height: float) -> None:
        self.height = height
        self.figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)

    def axes(self, x: float, y: float, width: float, height: float) -> Any:
        box = (x / WIDTH, 1 - (y + height) / self.height, width / WIDTH, height / self.height)
        return self.figure.add_axes(box)

    def text(self, x: float, y: float, text: str, size: float, **style: Any) -> float:
        """Writes a line, smaller if it would leave the page; returns where it ends."""
        # Names may hold dollar signs, which are no formulas.
        style = {"color": INK, "va": "baseline", **style}
        line = self.figure.text(
            x / WIDTH, 1 - y / self.height, text, fontsize=size, parse_math=False, **style
        )
        with _missing_glyphs_allowed():
            width = line.get_window_extent().width / DPI
            room = WIDTH - MARGIN - x
            if width > room:
                line.set_fontsize(size * room / width)
        return x + min(width, room)

    def color_bar(self, x: float, y: float, height: float, scale: Scale, label: str) -> None:
        bar = draw_color_bar(self.figure, scale, label, cax=self.axes(x, y, BAR_WIDTH, height))
        bar.ax.tick_params(labelsize=11, color=MUTED, labelcolor=INK)
        bar.ax.yaxis.label.set(fontsize=11.5, color=MUTED)


def draw(explanation: Explanation, settings: ExplainerSettings, model: Model, title: str) -> Figure:
    """
    Args:

        explanation (Explanation): What is shown.
        settings (ExplainerSettings): How it was made, for units and captions.
        model (Model): For its name and those of its classes.
        title (str): The picture's name.

    Returns:
        matplotlib.figure.Figure: 1600 pixels wide.
    """
    picture = explanation.input_image
    ratio = picture.shape[0] / picture.shape[1]
    content = WIDTH - 2 * MARGIN - BAR_ROOM
    panel = (content - 2 * PANEL_GAP) / 3
    shown = most_important(explanation.importances, explanation.sizes, MAX_CLUSTERS)
    n_rows = 1 if len(shown) <= ONE_ROW else 2
    n_columns = max(1, math.ceil(len(shown) / n_rows))
    cell = min(MAX_CELL, (content - (n_columns - 1) * CELL_GAP) / n_columns)
    cells = n_rows * (CELL_TITLE + cell * ratio) + (n_rows - 1) * ROW_GAP
    top = HEADER + PANEL_TITLE
    strip = top + panel * ratio + SECTION
    page = _Page(strip + cells + MARGIN)
    _header(page, explanation, settings, model, title)
    _panels(page, explanation, settings, top, panel, ratio)
    _clusters(page, explanation, settings, shown, strip, cell, ratio, n_columns)
    return page.figure


def save_figure(figure: Figure, path: Path) -> None:
    """
    Writes a figure as PNG.

    Raises:

        OSError: If it cannot be written.
    """
    with _missing_glyphs_allowed():
        figure.savefig(path, format="png")


def _header(
    page: _Page, explanation: Explanation, settings: ExplainerSettings, model: Model, title: str
) -> None:
    target = explanation.target
    probabilities = explanation.probabilities
    heading = f"{_short(title, 60)}:  {_short(model.class_name(target), 60)}"
    page.text(MARGIN, 0.62, heading, 22, weight="bold")
    predicted = int(probabilities.argmax())
    parts = [f"probability {probabilities[target]:.1%}"]
    if predicted != target:
        parts.append(
            f"predicted: {_short(model.class_name(predicted), 30)} ({probabilities[predicted]:.1%})"
        )
    parts.append(
        f"{settings.score} {explanation.score:.3g}" if settings.score != "probability" else ""
    )
    where = "input of layer" if settings.layer_input else "layer"
    parts.append(f"{_short(model.name, 40)}, {where} {_short(settings.layer, 40)}")
    page.text(MARGIN, 0.97, "   |   ".join(filter(None, parts)), 13, color=MUTED)


def _panels(
    page: _Page,
    explanation: Explanation,
    settings: ExplainerSettings,
    top: float,
    width: float,
    ratio: float,
) -> None:
    picture = as_picture(explanation.input_image)
    maps = {"Clustered-CAM": explanation.attribution, "LayerGradCam": explanation.gradcam}
    size = picture.shape[:2]
    present = [
        resized(as_map(m, name), size, INTERPOLATION) for name, m in maps.items() if m is not None
    ]
    # A map of other units than LayerGradCam's is compared by its shape alone.
    scaling, score = SCALINGS[settings.scaling], SCORES[settings.score].label
    relative = not scaling.is_additive
    if relative:
        present = [m / (np.abs(m).max() or 1.0) for m in present]
        label = "relative to each map's largest value"
    else:
        label = f"{scaling.unit} ({score}) per position"
    scale = Scale.of(present)
    height = width * ratio
    step = width + PANEL_GAP
    page.text(MARGIN, top - 0.13, "Input", 15, weight="bold")
    axes = page.axes(MARGIN, top, width, height)
    axes.imshow(picture, **UPRIGHT)
    frame(axes)
    shown = iter(present)
    for column, (name, values) in enumerate(maps.items(), start=1):
        x = MARGIN + column * step
        page.text(x, top - 0.13, name, 15, weight="bold")
        axes = page.axes(x, top, width, height)
        if values is None:
            frame(axes)
            axes.set_facecolor("#f4f4f4")
            reason = textwrap.fill(explanation.gradcam_missing, 44)
            style = {"ha": "center", "va": "center", "color": MUTED, "linespacing": 1.5}
            axes.text(0.5, 0.5, reason, fontsize=12, parse_math=False, **style)
            continue
        draw_overlay(axes, picture, next(shown), scale)
    page.color_bar(MARGIN + 3 * step - PANEL_GAP + 0.2, top, height, scale, label)


def _clusters(
    page: _Page,
    explanation: Explanation,
    settings: ExplainerSettings,
    shown: list[int],
    top: float,
    cell: float,
    ratio: float,
    n_columns: int,
) -> None:
    picture = as_picture(explanation.input_image)
    n_all = len(explanation.by_importance())
    scaling, score = SCALINGS[settings.scaling], SCORES[settings.score].label
    caption = f"{n_all} clusters of channels" if n_all != 1 else "1 cluster of channels"
    end = page.text(MARGIN, top - 0.2, caption, 15, weight="bold")
    remarks = [f"sorted by {IMPORTANCES[settings.importance].criterion} ({score})"]
    if len(shown) < n_all:
        remarks.insert(0, f"the {len(shown)} that matter most, of either sign")
    if settings.n_clusterings > 1:
        remarks.append(
            f"those of seed {settings.seed}, one of {settings.n_clusterings} clusterings that the "
            "map averages"
        )
    page.text(end + 0.25, top - 0.2, "; ".join(remarks), 13, color=MUTED)
    maps = {
        j: resized(as_map(explanation.maps[j]), picture.shape[:2], INTERPOLATION) for j in shown
    }
    scale = Scale.of(maps.values())
    height = cell * ratio
    for place, (j, values) in enumerate(maps.items()):
        row, column = divmod(place, n_columns)
        x = MARGIN + column * (cell + CELL_GAP)
        y = top + row * (CELL_TITLE + height + ROW_GAP) + CELL_TITLE
        size = int(explanation.sizes[j])
        page.text(x, y - 0.33, signed_text(float(explanation.importances[j])), 14, weight="bold")
        channels = "channel" if size == 1 else "channels"
        page.text(x, y - 0.11, f"{size} {channels}", 11.5, color=MUTED)
        draw_overlay(page.axes(x, y, cell, height), picture, values, scale)
    if shown:
        columns = min(n_columns, len(shown))
        x = MARGIN + columns * (cell + CELL_GAP) - CELL_GAP + 0.2
        unit = f"{scaling.unit} ({score})\nper position" if scaling.is_additive else scaling.unit
        page.color_bar(x, top + CELL_TITLE, height, scale, unit)


@contextmanager
def _missing_glyphs_allowed() -> Iterator[None]:
    with warnings.catch_warnings():
        # A file's name may have letters that the font lacks: a box is drawn for these.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        yield


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "\u2026"
