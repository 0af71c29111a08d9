"""One figure to look at: the picture, both methods on one scale, and the clusters."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import LayerAttribution
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from captum_clustered.cli.explain import Explanation, Settings
from captum_clustered.cli.models import Model

__all__ = ["Scale", "draw", "save_figure"]

Array = npt.NDArray[Any]
# Diverging, white at zero, and told apart by people who are colour-blind.
PALETTE = "RdBu_r"
DPI = 100
MAX_CLUSTERS = 12
# More clusters than this are laid out in two rows.
ONE_ROW = 6
# Its darkest colours are not used: they would hide the picture where it matters most.
PALETTE_ENDS = 0.42
MAX_OPACITY = 0.85
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


@dataclass(frozen=True)
class Scale:
    """A zero-centred colour scale shared by several maps."""

    limit: float

    @classmethod
    def of(cls, maps: Sequence[Array]) -> Scale:
        # Maps of zeros alone get a scale too, so that nothing is divided by zero.
        return cls(max((float(np.abs(m).max()) for m in maps), default=0.0) or 1.0)

    def rgba(self, values: Array) -> Array:
        """Colours whose opacity grows with the distance from zero."""
        relative = np.clip(values / self.limit, -1, 1)
        rgba = colormaps[PALETTE](0.5 + PALETTE_ENDS * relative)
        rgba[..., 3] = np.abs(relative) * MAX_OPACITY
        return np.asarray(rgba)


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

    def image(self, x: float, y: float, width: float, height: float, *layers: Array) -> None:
        axes = self.axes(x, y, width, height)
        for layer in layers:
            axes.imshow(layer, aspect="auto")
        _frame(axes)

    def colour_bar(self, x: float, y: float, height: float, scale: Scale, label: str) -> None:
        axes = self.axes(x, y, BAR_WIDTH, height)
        values = np.linspace(scale.limit, -scale.limit, 257)[:, None]
        extent = (0, 1, -scale.limit, scale.limit)
        # Over the middle grey that photographs are on average, as in the overlays.
        axes.imshow(np.full((1, 1, 3), 0.8), extent=extent, aspect="auto")
        axes.imshow(scale.rgba(values), extent=extent, aspect="auto")
        _frame(axes)
        axes.yaxis.tick_right()
        axes.set_yticks([-scale.limit, -scale.limit / 2, 0, scale.limit / 2, scale.limit])
        axes.set_yticklabels([_signed(tick) for tick in axes.get_yticks()])
        axes.tick_params(axis="y", labelsize=11, length=3, color=MUTED, labelcolor=INK)
        axes.yaxis.set_label_position("right")
        axes.set_ylabel(label, fontsize=11.5, color=MUTED, labelpad=8)


def draw(explanation: Explanation, settings: Settings, model: Model, title: str) -> Figure:
    """
    Args:

        explanation (Explanation): What is shown.
        settings (Settings): How it was made, for units and captions.
        model (Model): For its name and those of its classes.
        title (str): The picture's name.

    Returns:
        matplotlib.figure.Figure: 1600 pixels wide.
    """
    picture = explanation.input_image
    ratio = picture.shape[0] / picture.shape[1]
    content = WIDTH - 2 * MARGIN - BAR_ROOM
    panel = (content - 2 * PANEL_GAP) / 3
    shown = _shown_clusters(explanation)
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
    page: _Page, explanation: Explanation, settings: Settings, model: Model, title: str
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
    settings: Settings,
    top: float,
    width: float,
    ratio: float,
) -> None:
    picture = explanation.input_image
    grey = _backdrop(picture)
    maps = {"Clustered-CAM": explanation.attribution, "LayerGradCam": explanation.gradcam}
    present = [m for m in maps.values() if m is not None]
    # A map of other units than LayerGradCam's is compared by its shape alone.
    relative = settings.scaling != "density"
    if relative:
        scales = [Scale.of([m]) for m in present]
        present = [m / s.limit for m, s in zip(present, scales, strict=True)]
        label = "relative to each map's largest value"
    else:
        label = f"share of the score ({settings.score}) per position"
    scale = Scale.of(present)
    height = width * ratio
    step = width + PANEL_GAP
    page.text(MARGIN, top - 0.13, "Input", 15, weight="bold")
    page.image(MARGIN, top, width, height, picture)
    shown = iter(present)
    for column, (name, values) in enumerate(maps.items(), start=1):
        x = MARGIN + column * step
        page.text(x, top - 0.13, name, 15, weight="bold")
        if values is None:
            axes = page.axes(x, top, width, height)
            _frame(axes)
            axes.set_facecolor("#f4f4f4")
            reason = textwrap.fill(explanation.gradcam_missing, 44)
            style = {"ha": "center", "va": "center", "color": MUTED, "linespacing": 1.5}
            axes.text(0.5, 0.5, reason, fontsize=12, parse_math=False, **style)
            continue
        page.image(x, top, width, height, grey, scale.rgba(_upsampled(next(shown), picture)))
    page.colour_bar(MARGIN + 3 * step - PANEL_GAP + 0.2, top, height, scale, label)


def _clusters(
    page: _Page,
    explanation: Explanation,
    settings: Settings,
    shown: list[int],
    top: float,
    cell: float,
    ratio: float,
    n_columns: int,
) -> None:
    picture = explanation.input_image
    grey = _backdrop(picture)
    n_all = len(explanation.by_importance())
    is_drop = settings.importance == "ablation"
    what = "what the score loses without them" if is_drop else "their Shapley value"
    caption = f"{n_all} clusters of channels" if n_all != 1 else "1 cluster of channels"
    end = page.text(MARGIN, top - 0.2, caption, 15, weight="bold")
    remarks = [f"sorted by {what} ({settings.score})"]
    if len(shown) < n_all:
        remarks.insert(0, f"the {len(shown)} that matter most, of either sign")
    if settings.consensus > 1:
        remarks.append(
            f"those of seed {settings.seed}, one of {settings.consensus} clusterings averaged above"
        )
    page.text(end + 0.25, top - 0.2, "; ".join(remarks), 13, color=MUTED)
    scale = Scale.of([explanation.maps[j] for j in shown])
    height = cell * ratio
    for place, j in enumerate(shown):
        row, column = divmod(place, n_columns)
        x = MARGIN + column * (cell + CELL_GAP)
        y = top + row * (CELL_TITLE + height + ROW_GAP) + CELL_TITLE
        size = int(explanation.sizes[j])
        page.text(x, y - 0.33, _signed(float(explanation.importances[j])), 14, weight="bold")
        channels = "channel" if size == 1 else "channels"
        page.text(x, y - 0.11, f"{size} {channels}", 11.5, color=MUTED)
        overlay = scale.rgba(_upsampled(explanation.maps[j], picture))
        page.image(x, y, cell, height, grey, overlay)
    if shown:
        columns = min(n_columns, len(shown))
        x = MARGIN + columns * (cell + CELL_GAP) - CELL_GAP + 0.2
        unit = (
            f"share of the score ({settings.score})\nper position"
            if settings.scaling == "density"
            else "drop x activation"
        )
        page.colour_bar(x, top + CELL_TITLE, height, scale, unit)


def _shown_clusters(explanation: Explanation) -> list[int]:
    order = explanation.by_importance()
    strongest = sorted(order, key=lambda j: -abs(float(explanation.importances[j])))
    kept = set(strongest[:MAX_CLUSTERS])
    return [j for j in order if j in kept]


def _backdrop(picture: npt.NDArray[np.uint8]) -> Array:
    """The picture in light grey: its own colours would be taken for those of the scale."""
    grey = picture @ np.array([0.299, 0.587, 0.114]) / 255
    light = 0.4 + 0.6 * grey
    return np.repeat(light[..., None], 3, axis=2)


def _upsampled(values: Array, picture: npt.NDArray[np.uint8]) -> Array:
    tensor = torch.from_numpy(np.asarray(values, dtype=np.float32))[None, None]
    resized = LayerAttribution.interpolate(tensor, picture.shape[:2], "bilinear")
    return np.asarray(resized[0, 0])


def _frame(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#bbbbbb")
        spine.set_linewidth(0.6)


@contextmanager
def _missing_glyphs_allowed() -> Iterator[None]:
    with warnings.catch_warnings():
        # A file's name may have letters that the font lacks: a box is drawn for these.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        yield


def _signed(value: float) -> str:
    # A true minus sign, as wide as the plus.
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "\u2212")


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "\u2026"
