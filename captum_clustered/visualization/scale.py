"""A color scale for one or several maps, and its color bar."""

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

# Without the repeated entry 0, so that zero is in the middle.
_TABLE = TABLE[1:] / 255
# As seen over the mean gray of pictures.
_OPACITY = _TABLE[:, 3:]
_OPAQUE = _OPACITY * _TABLE[:, :3] + (1 - _OPACITY) * 0.42

# Lines at minus and plus a quarter of the scale show both signs without color.
LINES: tuple[tuple[float, dict[str, Any]], ...] = (
    (-0.25, {"colors": "white", "linestyles": "dashed"}),
    (0.25, {"colors": "black", "linestyles": "solid"}),
)


@dataclass(frozen=True)
class Scale:
    """A color scale that is centered at zero, with ``limit`` at the end of the palette."""

    limit: float
    has_negative: bool = True
    # The ends that values exceed, in terms of matplotlib's color bar.
    extend: str = "neither"

    @classmethod
    def of(cls, maps: Iterable[NDArray[np.float64]], limit: float | None = None) -> Scale:
        """Return a scale for all of the maps; without a limit, for their largest absolute value."""
        maps = list(maps)
        low = min((float(values.min()) for values in maps), default=0.0)
        high = max((float(values.max()) for values in maps), default=0.0)
        if limit is None:
            # The scale of zeros alone must not divide by zero.
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
        """Arguments of ``imshow``; zero is transparent."""
        return {"cmap": ListedColormap(_TABLE), "norm": Normalize(-self.limit, self.limit)}


def draw_color_bar(figure: Any, scale: Scale, label: str, **place: Any) -> Any:
    """Draw the color bar of a scale; without negative values, only its upper half."""
    limit = scale.limit
    mappable = ScalarMappable(Normalize(-limit, limit), ListedColormap(_OPAQUE))
    bar = figure.colorbar(mappable, extend=scale.extend, **place)
    bar.set_label(label, fontsize=9, parse_math=False)
    ticks = [-limit, -limit / 2] if scale.has_negative else []
    ticks += [0, limit / 2, limit]
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
    """Return a number with its sign and three digits; the minus is as wide as the plus."""
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "\u2212")
