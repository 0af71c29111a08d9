"""Figures of a comparison, without pyplot."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.figure import Figure

from captum_clustered.metrics._masking import explanation_mask
from captum_clustered.visualization import visualize_methods

if TYPE_CHECKING:
    from captum_clustered.comparison.pictures import KeptImage
    from captum_clustered.comparison.result import Comparison

# Okabe and Ito's colors, which color-blind people can distinguish.
_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
_CONTROL = "#7A7A7A"
_REFERENCE = "#000000"
_METHOD = "#0072B2"
_STYLES: list[Any] = ["-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1))]
_CURVE_METRICS = {"insertion", "deletion", "insertion - deletion"}
# Curve -> its title, and what is done to pixels.
_CURVES = {
    "insertion blur": ("Insertion (from blur)", "inserted"),
    "deletion 0.0": ("Deletion (to zero)", "set to zero"),
    "deletion blur": ("Deletion (to blur)", "blurred"),
}
_PANELS_PER_ROW = 3
# Letters of the small print, slightly fewer than fit.
_LETTERS_PER_INCH = 16
# Letters in a line of a method's name, which may be a long text with arguments.
_LETTERS_OF_NAME = 36


def metrics(comparison: Comparison) -> Figure:
    """Draw a panel for each metric: means and 95% intervals, and a line at the reference."""
    summary = comparison.summary()
    names = list(comparison.directions)
    n_columns = min(_PANELS_PER_ROW, len(names))
    n_rows = math.ceil(len(names) / n_columns)
    methods = comparison.methods
    labels = [textwrap.fill(method, _LETTERS_OF_NAME) for method in methods]
    each = max(0.23, *(0.13 * (label.count("\n") + 1) for label in labels))
    width = 1.9 + 3.0 * n_columns
    figure = Figure((width, n_rows * (0.75 + each * len(methods))), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    places = np.arange(len(methods))[::-1]
    for axis, name in zip(axes.flat, names, strict=False):
        rows = summary[summary["metric"] == name].set_index("method").loc[methods]
        reference = rows["mean"].get(comparison.reference, math.nan)
        if not math.isnan(reference):
            axis.axvline(reference, color=_REFERENCE, linewidth=0.8, linestyle=":", zorder=1)
        for place, method in zip(places, methods, strict=True):
            row = rows.loc[method]
            color, marker = _look(comparison, method)
            if not math.isnan(row["low"]):
                axis.hlines(place, row["low"], row["high"], color=color, linewidth=1.6, zorder=2)
            axis.plot(row["mean"], place, marker, color=color, markersize=5, zorder=3)
        direction = comparison.directions[name]
        axis.set_title(f"{name}\n{direction} is better" if direction else name, fontsize=9)
        axis.set_yticks(places, labels, fontsize=8)
        axis.set_ylim(-0.7, len(methods) - 0.3)
        axis.tick_params(axis="x", labelsize=8)
        axis.locator_params(axis="x", nbins=5)
        # Long decimals such as 0.000025 would overlap.
        axis.ticklabel_format(axis="x", scilimits=(-3, 4))
        axis.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    note = "Mean and 95% bootstrap interval. Gray squares: controls, which ignore the class."
    if comparison.reference:
        note += f" Black diamond and dotted line: {comparison.reference}."
    figure.supxlabel(textwrap.fill(note, int(width * _LETTERS_PER_INCH)), fontsize=8)
    return figure


def curves(comparison: Comparison) -> Figure:
    """Draw mean insertion and deletion curves of all methods."""
    kinds = [key for key in _CURVES if any(key in found for found in comparison.curves.values())]
    if not kinds and _CURVE_METRICS & set(comparison.directions):
        raise ValueError("No image has curves of insertion or deletion; see failures.")
    if not kinds:
        raise ValueError(
            "Curves need 'insertion', 'deletion' or 'insertion - deletion' in metrics."
        )
    figure = Figure((1.8 + 3.6 * len(kinds), 3.9), layout="constrained")
    axes = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axis, key in zip(axes, kinds, strict=True):
        title, done = _CURVES[key]
        axis.set_title(title, fontsize=10)
        _draw_curves(axis, comparison, key)
        axis.set_xlabel(f"share of pixels {done}, most important first", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(color="#DDDDDD", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("mean probability of the class", fontsize=9)
    handles, names = axes[0].get_legend_handles_labels()
    labels = [textwrap.fill(name, _LETTERS_OF_NAME) for name in names]
    figure.legend(handles, labels, loc="outside right center", fontsize=8, frameon=False)
    return figure


def gallery(comparison: Comparison, **look: Any) -> Figure:
    """Draw the first images, a row each, under every method; ``look`` is of visualize_methods."""
    shown = comparison.gallery
    if not shown:
        raise ValueError("A gallery needs 2-D images; there are none to show.")
    methods = comparison.methods
    maps = {method: [_mask(item, method) for item in shown] for method in methods}
    figure, axes = visualize_methods(
        maps,
        [item.picture for item in shown],
        label="positive part of the map, scaled to 0 to 1",
        names=[_facts(comparison, item) for item in shown],
        masks=None if all(item.mask is None for item in shown) else [item.mask for item in shown],
        seen=[item.seen for item in shown],
        use_pyplot=False,
        **look,
    )
    for axis, method in zip(axes[0, 1:], methods, strict=True):
        control = "\n(control)" if method in comparison.controls else ""
        axis.set_title(f"{_broken(method)}{control}", fontsize=7)
    return figure


def _mask(image: KeptImage, method: str) -> Any:
    if method not in image.maps:
        return None
    # At the layer's resolution: figures interpolate more smoothly than metrics.
    maps = torch.from_numpy(image.maps[method])[None, None]
    return explanation_mask(maps, maps)[0, 0].numpy()


def _facts(comparison: Comparison, image: KeptImage) -> str:
    """Return an image's name, its true class and the predicted one."""
    name, facts = comparison.name_of(image.number), image.facts
    # A name must fit beside a picture; file names differ at their ends.
    lines = [name if len(name) <= 16 else f"…{name[-15:]}"]
    label, predicted = facts.get("label"), facts["prediction"]
    if label is not None:
        lines.append(f"true: {comparison.class_name(label)}")
    probability = f" {facts['probability']:.0%}" if "probability" in facts else ""
    lines.append(f"predicted: {comparison.class_name(predicted)}{probability}")
    if facts["target"] != predicted:
        lines.append(f"explained: {comparison.class_name(facts['target'])}")
    return "\n".join(lines)


def _draw_curves(axis: Any, comparison: Comparison, key: str) -> None:
    others = [name for name in comparison.methods if name != comparison.reference]
    methods = [name for name in others if name not in comparison.controls]
    for method in comparison.methods:
        if key not in comparison.curves[method]:
            continue
        values, layer = comparison.curves[method][key], 2.0
        if method == comparison.reference:
            # Wide and behind the others, so it is visible where another curve covers it.
            color, style, width, layer = _REFERENCE, _STYLES[0], 3.2, 1.9
        elif method in comparison.controls:
            place = comparison.controls.index(method)
            color, style, width = _CONTROL, _STYLES[place % len(_STYLES)], 1.1
        else:
            turn, place = divmod(methods.index(method), len(_COLORS))
            color, style, width = _COLORS[place], _STYLES[turn % len(_STYLES)], 1.6
        share, line = np.linspace(0, 1, len(values)), {"linestyle": style, "linewidth": width}
        axis.plot(share, values, color=color, label=method, zorder=layer, **line)


def _look(comparison: Comparison, method: str) -> tuple[str, str]:
    if method == comparison.reference:
        return _REFERENCE, "D"
    if method in comparison.controls:
        return _CONTROL, "s"
    return _METHOD, "o"


def _broken(name: str) -> str:
    """Break a long name into several lines."""
    return (
        name.replace(", ", ",\n")
        .replace("(", "\n(")
        .replace("LayerCAM", "\nLayerCAM")
        .replace("GradientX", "\nGradientX\n")
        .replace(" ", "\n")
        .strip()
    )
