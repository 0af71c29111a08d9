"""A color scale for one or several maps, and its color bar."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from captum_clustered.visualization.look import Look
from captum_clustered.visualization.palette import CONTRAST, DARKEST, MIDDLE_GRAY, TABLE, tinted

PLAIN = Look()
# Of maps that are relative to their own largest absolute value.
OWN_SCALES, OF_LARGEST = "each map on\nits own scale", " of the largest value"


@dataclass(frozen=True)
class Scale:
    """A color scale that is centered at zero, with ``limit`` at the end of the palette."""

    limit: float
    has_negative: bool = True
    # The smallest and the largest value of the maps, in shares of the limit.
    low: float = field(default=-1.0, compare=False)
    high: float = field(default=1.0, compare=False)
    # The ends that values exceed, in terms of matplotlib's color bar.
    extend: str = "neither"

    @classmethod
    def of(cls, maps: Iterable[NDArray[np.float64]], limit: float | None = None) -> Scale:
        """Return a scale for all of the maps; without a limit, for their largest absolute value."""
        maps = list(maps)
        low = min((float(np.nanmin(values)) for values in maps), default=0.0)
        high = max((float(np.nanmax(values)) for values in maps), default=0.0)
        if limit is None:
            # The scale of zeros alone must not divide by zero.
            limit = max(-low, high) or 1.0
            return cls(limit, low < 0, low / limit, high / limit)
        try:
            is_positive = math.isfinite(limit) and limit > 0
        except TypeError:
            is_positive = False
        if not is_positive:
            raise ValueError(f"limit must be a positive number; got {limit!r}.")
        ends = {(True, True): "both", (True, False): "min", (False, True): "max"}
        shares = (low / limit, high / limit)
        return cls(
            float(limit), low < 0, *shares, extend=ends.get((low < -limit, high > limit), "neither")
        )

    def levels(self, look: Look = PLAIN) -> list[float]:
        """Return the values of the outlines that some map has; the bar has a line at each."""
        ends = (self.low if self.has_negative else 0, self.high)
        return [share * self.limit for share in look.levels if ends[0] < share < ends[1]]


def draw_color_bar(figure: Any, scale: Scale, label: str, look: Look = PLAIN, **where: Any) -> Any:
    """Draw the color bar of a scale; without negative values, only its upper half."""
    limit = scale.limit
    # Odd, so that zero is in the middle.
    colors = tinted(np.full((1, 255, 3), MIDDLE_GRAY), np.linspace(-1, 1, 255)[None], look.fill)[0]
    mappable = ScalarMappable(Normalize(-limit, limit), ListedColormap(colors))
    bar = figure.colorbar(mappable, extend=scale.extend, **where)
    bar.set_label(label, fontsize=9, parse_math=False)
    # Colors keep the luminance of the image: from dark pixels on the left to bright ones.
    grays = np.linspace(DARKEST, DARKEST + CONTRAST, 64)[None, :, None] + np.zeros((255, 1, 3))
    values = np.linspace(-1, 1, 255)[:, None] + np.zeros((1, 64))
    place: dict[str, Any] = {"extent": (0, 1, -limit, limit), "aspect": "auto", "origin": "lower"}
    # Above the colors that matplotlib draws, below the lines.
    bar.ax.imshow(tinted(grays, values, look.fill), zorder=1.5, **place)
    levels = scale.levels(look)
    ticks = sorted([*levels, *([-limit] if scale.has_negative else []), 0, limit])
    bar.set_ticks(ticks, labels=[signed_text(tick) for tick in ticks])
    for level in levels:
        bar.ax.axhline(level, **line_style(level))
    bar.ax.set_ylim(-limit if scale.has_negative else 0, limit)
    bar.ax.tick_params(labelsize=8, length=3)
    bar.outline.set_linewidth(0.6)
    return bar


def line_style(level: float, strength: float = 1.0) -> dict[str, Any]:
    """Return how the outline at a value is drawn: visible on dark and on bright tissue."""
    width = 0.35 + 0.65 * strength
    return {
        "color": tuple(TABLE[-1 if level > 0 else 0, :3] / 255),
        "linestyle": "solid" if level > 0 else (0, (3, 1.5)),
        "linewidth": width,
        "path_effects": halo(width),
    }


def halo(width: float) -> list[withStroke]:
    """Return the dark border of a line."""
    return [withStroke(linewidth=width + 1.2, foreground=(0, 0, 0, 0.75))]


def signed_text(value: float) -> str:
    """Return a number with its sign and three digits; the minus is as wide as the plus."""
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "\u2212")
