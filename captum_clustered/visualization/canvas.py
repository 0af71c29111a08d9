"""Figures and axes: the caller's, or new ones as Captum makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["UPRIGHT", "axes_for", "frame", "show"]

# How images lie on their axes, whatever the user's style says of other images.
UPRIGHT: dict[str, Any] = {"origin": "upper", "aspect": "equal"}


def axes_for(
    plt_fig_axis: tuple[Figure, Any] | None,
    n_rows: int,
    n_columns: int,
    fig_size: tuple[float, float],
    use_pyplot: bool,
) -> tuple[Figure, NDArray[Any]]:
    """
    The figure and its axes, (n_rows, n_columns).

    Raises:

        ValueError: If those that were given are not as many.
    """
    if plt_fig_axis is None:
        make = plt.figure if use_pyplot else Figure
        figure = make(figsize=fig_size, layout="constrained")
        return figure, figure.subplots(n_rows, n_columns, squeeze=False)
    figure, given = plt_fig_axis
    axes = np.array(given, dtype=object).ravel()
    if len(axes) != n_rows * n_columns:
        raise ValueError(
            f"plt_fig_axis must have {n_rows} x {n_columns} axes for what is drawn; got "
            f"{len(axes)}."
        )
    return figure, axes.reshape(n_rows, n_columns)


def frame(axis: Axes) -> None:
    """Leaves of the axes a thin frame."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color("#bbbbbb")
        spine.set_linewidth(0.6)


def show(use_pyplot: bool) -> None:
    """As Captum's functions do it at their end."""
    if use_pyplot:
        plt.show()
