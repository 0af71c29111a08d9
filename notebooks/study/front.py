"""Quality against cost: a panel for each metric, with forward passes on the x axis."""

from __future__ import annotations

import math
import time
from statistics import median

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from captum_clustered.comparison import Comparison
from study.stability import SENSITIVITY, sensitivity_ratios
from study.verdicts import MARGINS

OURS, OTHERS, CONTROLS = "#0072B2", "#D55E00", "#9A9A9A"
N_ROUNDS = 7
COLUMNS = 4
# Fake-CAM and the mask would stretch the y axis, and they explain nothing.
LEFT_OUT = ("Fake-CAM", "mask", "random")


def forward_seconds(network: nn.Module, inputs: Tensor) -> float:
    """Return the seconds of a plain forward pass per image, the median of several."""
    times = []
    with torch.no_grad():
        for _ in range(1 + N_ROUNDS):
            start = time.perf_counter()
            network(inputs)
            times.append(time.perf_counter() - start)
    return median(times[1:]) / len(inputs)


def draw_front(comparison: Comparison, seconds: float) -> Figure:
    """
    Draw each method's metrics against what its map costs.

    Controls have no cost to compare and are horizontal lines. The step line joins the methods
    that no other method beats in both cost and quality.

    Args:

        comparison (Comparison): The comparison.
        seconds (float): Seconds of a forward pass for an image, on the same machine.
    """
    table = _means(comparison)
    costs = comparison.costs()["seconds"] / seconds
    methods = [name for name in comparison.methods if name not in comparison.controls]
    n_rows = math.ceil(len(table) / COLUMNS)
    figure = Figure(
        figsize=(3.1 * COLUMNS, 2.7 * n_rows + 0.45 * len(methods) / 2), layout="constrained"
    )
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
        axis.set_xscale("log", base=2)
        axis.set_title(f"{name}\n{'lower' if is_lower else 'higher'} is better", fontsize=9)
        axis.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axis.tick_params(labelsize=8)
        axis.grid(color="#E4E4E4", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[len(table) :]:
        axis.set_visible(False)
    figure.supxlabel("cost of a map, in forward passes of the network", fontsize=9)
    handles = [
        figure.axes[0].plot(
            [], [], "o", color=OURS if _is_ours(m) else OTHERS, label=f"{number}  {m}"
        )[0]
        for number, m in enumerate(methods, 1)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
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
