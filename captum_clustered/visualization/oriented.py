"""A volume and a map of it, turned as radiologists look at them, and their planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from captum_clustered.visualization.layer_attr import draw_overlay
from captum_clustered.visualization.look import Look
from captum_clustered.visualization.scale import PLAIN, Scale

__all__ = ["PLANES", "Oriented", "plane_of"]

# Axes point to the patient's left, to the back and downwards, so that each plane is drawn with
# its first axis across and its second one down: as if seen from the feet, the front and the left.
_STARTS, _ENDS = "RAS", "LPI"
_NAMES = ("sagittal", "coronal", "axial")
# The axes across which the planes lie, in the order in which they are drawn.
PLANES = (2, 1, 0)

Picture = NDArray[np.float64]


@dataclass(frozen=True)
class Oriented:
    """
    A volume with axes to the left, to the back and downwards.

    Without an affine, the axes are those of the array, and have numbers instead of names.

    Attributes:

        gray (array): Gray values in [0, 1], (X, Y, Z).
        spacing (tuple): Distance of voxels along each axis.
        is_placed (bool): Whether the directions of the axes are known.
        turn (array or None): How arrays are turned, as nibabel's ``apply_orientation`` takes it.
    """

    gray: NDArray[Any]
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0)
    is_placed: bool = False
    turn: NDArray[Any] | None = None

    @classmethod
    def of(cls, gray: NDArray[Any], affine: NDArray[Any] | None) -> Oriented:
        """Turn a volume in the order of the file."""
        if affine is None:
            return cls(gray)
        from nibabel.affines import voxel_sizes
        from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

        turn = ornt_transform(io_orientation(affine), axcodes2ornt(_ENDS))
        sizes = np.empty(3)
        sizes[turn[:, 0].astype(int)] = voxel_sizes(affine)
        placed = cls(gray, tuple(sizes), True, turn)
        return cls(placed.turned(gray), tuple(sizes), True, turn)

    def turned(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn a map in the order of the file."""
        if self.turn is None:
            return values
        from nibabel.orientations import apply_orientation

        return np.asarray(apply_orientation(values, self.turn))

    def title(self, across: int, index: int | None = None) -> str:
        """Return the name of a plane."""
        name = _NAMES[across] if self.is_placed else f"axis {across}"
        if index is None:
            return f"{name}, largest value"
        return f"{name}, slice {index + 1} of {self.gray.shape[across]}"

    def size(self, across: int) -> tuple[float, float]:
        """Return the width and the height of a plane, in millimeters if it has an affine."""
        width, height = (n * step for i, (n, step) in enumerate(self._sides()) if i != across)
        return width, height

    def draw(
        self,
        axis: Axes,
        across: int,
        index: int | None,
        values: NDArray[Any] | None,
        scale: Scale,
        look: Look = PLAIN,
        *,
        has_letters: bool = True,
    ) -> None:
        """
        Draw a slice or, without an index, the projection of the largest values along an axis.

        Without values, the volume itself is drawn. Values are turned already.
        """
        picture = np.repeat(plane_of(self.gray, across, index)[..., None], 3, axis=2)
        if values is None:
            axis.imshow(picture, origin="upper", vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
        else:
            draw_overlay(axis, picture, plane_of(values, across, index), scale, look)
        sides = [step for i, (_, step) in enumerate(self._sides()) if i != across]
        axis.set_aspect(sides[1] / sides[0])
        if self.is_placed and has_letters:
            _draw_letters(axis, [i for i in range(3) if i != across])

    def _sides(self) -> Sequence[tuple[int, float]]:
        return list(zip(self.gray.shape, self.spacing, strict=True))


def plane_of(values: NDArray[Any], across: int, index: int | None) -> Picture:
    """Return a slice, or for each ray the value that is farthest from zero, rows first."""
    if index is not None:
        return np.asarray(np.take(values, index, across), dtype=np.float64).T
    is_unseen = np.isnan(values).all(across)
    known = np.nan_to_num(values)
    places = np.abs(known).argmax(across, keepdims=True)
    found = np.take_along_axis(known, places, across).squeeze(across).astype(np.float64)
    return np.where(is_unseen, np.nan, found).T


def _draw_letters(axis: Axes, sides: list[int]) -> None:
    across, down = sides
    style: dict[str, Any] = {
        "color": "white",
        "fontsize": 7,
        "transform": axis.transAxes,
        "bbox": {"facecolor": "black", "alpha": 0.5, "pad": 1, "linewidth": 0},
    }
    for letter, x, y, ha, va in (
        (_STARTS[across], 0.02, 0.5, "left", "center"),
        (_ENDS[across], 0.98, 0.5, "right", "center"),
        (_STARTS[down], 0.5, 0.98, "center", "top"),
        (_ENDS[down], 0.5, 0.02, "center", "bottom"),
    ):
        axis.text(x, y, letter, ha=ha, va=va, **style)
