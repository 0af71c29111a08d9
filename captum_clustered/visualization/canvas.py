"""Figures and axes: the caller's or new ones, as in Captum's visualization."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

# Draw images upright, whatever the user's matplotlib style says.
UPRIGHT: dict[str, Any] = {"origin": "upper", "aspect": "equal"}
# The color of secondary text.
MUTED = "#666666"


def axes_for(
    plt_fig_axis: tuple[Figure, Any] | None,
    n_rows: int,
    n_columns: int,
    fig_size: tuple[float, float],
    use_pyplot: bool,
    widths: Sequence[float] | None = None,
) -> tuple[Figure, NDArray[Any]]:
    """Return the figure and its axes, shape (n_rows, n_columns); new ones have these widths."""
    if plt_fig_axis is None:
        make: Callable[..., Figure] = Figure
        if use_pyplot:
            # Only for users who ask for it: pyplot chooses a backend when it is imported.
            from matplotlib import pyplot as plt

            make = plt.figure
        new = make(figsize=fig_size, layout="constrained")
        return new, new.subplots(n_rows, n_columns, squeeze=False, width_ratios=widths)
    figure, given = plt_fig_axis
    axes = np.array(given, dtype=object).ravel()
    if len(axes) != n_rows * n_columns:
        raise ValueError(
            f"plt_fig_axis must have {n_rows} x {n_columns} axes for what is drawn; got "
            f"{len(axes)}."
        )
    return figure, axes.reshape(n_rows, n_columns)


def frame(axis: Axes) -> None:
    """Replace the ticks and spines of the axes by a thin frame."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color("#bbbbbb")
        spine.set_linewidth(0.6)


def show(use_pyplot: bool) -> None:
    """Show the figure with pyplot if the user wants pyplot, as Captum does."""
    if use_pyplot:
        from matplotlib import pyplot as plt

        plt.show()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    with warnings.catch_warnings():
        # A file's name may have letters that the font lacks: matplotlib draws boxes for them.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        # Once: Figure.savefig would draw it for the layout and again for the picture.
        FigureCanvasAgg(figure).print_png(path)


def shortened(text: str, length: int) -> str:
    """Return a text of at most ``length`` letters, with an ellipsis if it was longer."""
    return text if len(text) <= length else text[: length - 1] + "\u2026"
