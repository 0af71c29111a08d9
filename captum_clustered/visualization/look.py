"""How a map is drawn over its image."""

from __future__ import annotations

from dataclasses import dataclass

from captum_clustered.visualization.palette import OPACITY

# Outlines at a quarter of the scale show both signs without color; without colors there are more.
_LEVELS = (-0.25, 0.25)
_MORE_LEVELS = (-0.75, -0.5, -0.25, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Look:
    """
    How a map is drawn over its image.

    Attributes:

        opacity (float): Strength of the colors of the largest value.
                    Default: 1.0
        outline (bool): Whether to draw outlines only, and no colors.
                    Default: False
        keep_colors (bool): Whether to draw the image in its own colors instead of grays.
                    Default: False
        strength (float): Factor, from 0 to 1, on the colors and the width of the outlines.
                    Default: 1.0
    """

    opacity: float = OPACITY
    outline: bool = False
    keep_colors: bool = False
    strength: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an opacity that is none."""
        try:
            is_share = 0 <= self.opacity <= 1
        except TypeError:
            is_share = False
        if not is_share:
            raise ValueError(f"opacity={self.opacity!r} must be a number from 0 to 1.")

    @property
    def levels(self) -> tuple[float, ...]:
        """The outlines, in shares of the scale."""
        return _MORE_LEVELS if self.outline else _LEVELS

    @property
    def fill(self) -> float:
        """The strength of the colors."""
        return 0.0 if self.outline else self.opacity * self.strength
