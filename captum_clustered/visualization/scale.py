"""One color scale for one or several maps, and its bar."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from numpy.typing import NDArray

from captum_clustered.visualization.palette import TABLE

__all__ = ["LINES", "Scale", "draw_color_bar", "signed_text"]

# Without entry 0, so that zero is in the middle.
_TABLE = TABLE[1:] / 255
# As over the middle gray that pictures are on average.
_OPACITY = _TABLE[:, 3:]
_OPAQUE = _OPACITY * _TABLE[:, :3] + (1 - _OPACITY) * 0.42

# Lines at minus and plus a quarter of the scale: of each sign what counts, without color.
LINES: tuple[tuple[float, dict[str, Any]], ...] = (
    (-0.25, {"colors": "white", "linestyles": "dashed"}),
    (0.25, {"colors": "black", "linestyles": "solid"}),
)


@dataclass(frozen=True)
class Scale:
    """
    A zero-centered scale.

    Attributes:

        limit (float): The value of the palette's end.
        has_negative (bool): Whether any value is below zero.
        extend (str): At which ends values lie outside, as matplotlib's color bar has it.
    """

    limit: float
    has_negative: bool = True
    extend: str = "neither"

    @classmethod
    def of(cls, maps: Iterable[NDArray[np.float64]], limit: float | None = None) -> Scale:
        """
        The scale that the maps share.

        Args:

            maps (iterable of numpy.ndarray): What is drawn on it.
            limit (float, optional): Where it ends.
                        Default: None (the largest absolute value)

        Raises:

            ValueError: If ``limit`` is not a positive number.
        """
        maps = list(maps)
        low = min((float(values.min()) for values in maps), default=0.0)
        high = max((float(values.max()) for values in maps), default=0.0)
        if limit is None:
            # Maps of zeros alone get a scale, too: nothing is divided by zero.
            return cls(max(-low, high) or 1.0, low < 0)
        try:
            is_positive = math.isfinite(limit) and limit > 0
        except TypeError:
            is_positive = False
        if not is_positive:
            raise ValueError(f"limit must be a positive number; got {limit!r}.")
        ends = {(True, True): "both", (True, False): "min", (False, True): "max"}
        return cls(float(limit), low < 0, ends.get((low < -limit, high > limit), "neither"))

    @property
    def drawing(self) -> dict[str, Any]:
        """What ``imshow`` needs: transparent at zero."""
        return {"cmap": ListedColormap(_TABLE), "norm": Normalize(-self.limit, self.limit)}


def draw_color_bar(figure: Any, scale: Scale, label: str, **place: Any) -> Any:
    """
    Draws the scale's bar; of a map that is nowhere negative the upper half.

    Args:

        figure (matplotlib.figure.Figure or SubFigure): Where.
        scale (Scale): What is shown.
        label (str): The unit; dollar signs are letters.
        **place: ``cax`` or ``ax``, and what else matplotlib's ``colorbar`` takes.

    Returns:
        matplotlib.colorbar.Colorbar: The bar.
    """
    limit = scale.limit
    mappable = ScalarMappable(Normalize(-limit, limit), ListedColormap(_OPAQUE))
    bar = figure.colorbar(mappable, extend=scale.extend, **place)
    bar.set_label(label, fontsize=9, parse_math=False)
    ticks = (
        [-limit, -limit / 2, 0, limit / 2, limit] if scale.has_negative else [0, limit / 2, limit]
    )
    bar.set_ticks(ticks, labels=[signed_text(tick) for tick in ticks])
    for level, style in LINES:
        bar.ax.axhline(
            level * limit, color=style["colors"], linestyle=style["linestyles"], linewidth=1
        )
    bar.ax.set_ylim(-limit if scale.has_negative else 0, limit)
    bar.ax.tick_params(labelsize=8, length=3)
    bar.outline.set_linewidth(0.6)
    return bar


def signed_text(value: float) -> str:
    """Three digits with their sign, which is a true minus, as wide as the plus."""
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "\u2212")
