"""Quality against cost: a panel for each metric, with forward passes on the x axis."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from captum_clustered.comparison import Comparison
from captum_clustered.comparison.methods import METHODS
from captum_clustered.scores import SCORES
from study.networks import Target
from study.stability import SENSITIVITY, sensitivity_ratios
from study.verdicts import MARGINS

OURS, OTHERS, CONTROLS = "#0072B2", "#D55E00", "#9A9A9A"
N_ROUNDS = 7
COLUMNS = 4
# Fake-CAM and the mask would stretch the y axis, and they explain nothing.
LEFT_OUT = ("Fake-CAM", "mask", "random")


def costs(
    path: Path,
    methods: Sequence[Any],
    network: nn.Module,
    score: str,
    target: Target,
    inputs: Tensor,
) -> dict[str, float]:
    """
    Measure what a map of each method costs, in forward passes of the network.

    Args:

        path (Path): JSON file of the costs; if it has these methods, nothing is measured.
        methods (sequence): As :func:`study.methods.resolve` returns them. Texts such as
                    "ClusteredLayerCAM(clusterer=20)" are not measured.
        network (torch.nn.Module): The network.
        score (str): Name of the score that is explained.
        target (Target): The layer.
        inputs (Tensor): A batch.

    Returns:
        dict[str, float]: The median over rounds, in which all calls run in turn.
    """
    given = [
        item if isinstance(item, dict) else {item: METHODS[item].build}
        for item in methods
        if isinstance(item, dict) or item in METHODS
    ]
    if path.is_file():
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        if list(found) == [name for item in given for name in item]:
            return found
    scored = SCORES[score].wrap(network)
    with torch.no_grad():
        classes = scored(inputs.clone()).argmax(1)
    calls: dict[str, Callable[[], Any]] = {"": torch.no_grad()(partial(network, inputs))}
    for item in given:
        for name, factory in item.items():
            calls[name] = partial(
                factory(scored, target.layer).attribute,
                inputs,
                classes,
                attribute_to_layer_input=target.at_input,
            )
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(N_ROUNDS):
        for name, call in calls.items():
            # The second of two calls: the first one also pays for the memory of the call before.
            call()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: median(times) for name, times in seconds.items()}
    forward = medians.pop("")
    found = {name: value / forward for name, value in medians.items()}
    path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def draw_front(comparison: Comparison, costs: Mapping[str, float]) -> Figure:
    """
    Draw each method's metrics against what its map costs.

    Controls have no cost to compare and are horizontal lines. The step line joins the methods
    that no other method beats in both cost and quality.

    Args:

        comparison (Comparison): The comparison.
        costs (dict[str, float]): Cost of each method to draw, in forward passes.
    """
    table = _means(comparison)
    methods = [name for name in comparison.methods if name in costs]
    n_rows = math.ceil(len(table) / COLUMNS)
    size = (3.1 * COLUMNS, 2.9 * n_rows + 0.13 * len(methods))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(n_rows, COLUMNS, squeeze=False)
    for axis, (name, (values, is_lower)) in zip(axes.flat, table.items(), strict=False):
        for control in comparison.controls:
            if control not in LEFT_OUT:
                axis.axhline(values[control], color=CONTROLS, linewidth=0.8, linestyle=":")
        for number, method in enumerate(methods, 1):
            color = OURS if _is_ours(method) else OTHERS
            axis.plot(costs[method], values[method], "o", color=color, markersize=11, alpha=0.85)
            axis.annotate(
                str(number),
                (costs[method], values[method]),
                ha="center",
                va="center",
                color="white",
                fontsize=7,
                fontweight="bold",
            )
        _draw_steps(axis, [(costs[m], values[m]) for m in methods], is_lower)
        axis.set_title(f"{name}\n{'lower' if is_lower else 'higher'} is better", fontsize=9)
        axis.set_xlabel("forward passes", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(color="#E4E4E4", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[len(table) :]:
        axis.set_visible(False)
    handles = [
        figure.axes[0].plot(
            [], [], "o", color=OURS if _is_ours(m) else OTHERS, label=f"{number}  {m}"
        )[0]
        for number, m in enumerate(methods, 1)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _is_ours(method: str) -> bool:
    # AblationCAM is ours; grad-cam's has "(grad-cam)" in its name.
    return method.startswith(("ClusteredLayerCAM", "AblationCAM")) and "grad-cam" not in method


def _means(comparison: Comparison) -> dict[str, tuple[dict[str, float], bool]]:
    """Return each metric's mean by method, and whether lower is better."""
    frame = comparison.frame
    found = {}
    for name in MARGINS:
        if name in comparison.directions:
            rows = frame[frame["metric"] == name]
            means = rows.groupby("method", observed=True)["value"].mean()
            found[name] = (means.to_dict(), comparison.directions[name] == "lower")
    ratios = sensitivity_ratios(comparison)
    if len(ratios):
        by_method = dict(zip(ratios["method"], ratios["ratio"], strict=True))
        found[f"{SENSITIVITY}, as a multiple"] = (by_method, True)
    return found


def _draw_steps(axis: Axes, points: list[tuple[float, float]], is_lower: bool) -> None:
    """Draw the best value that can be had for each cost."""
    sign = 1 if is_lower else -1
    best = math.inf
    xs, ys = [], []
    for cost, value in sorted(points):
        if sign * value < best:
            best = sign * value
            xs.append(cost)
            ys.append(value)
    axis.step(xs, ys, where="post", color="#BBBBBB", linewidth=1, zorder=0)
