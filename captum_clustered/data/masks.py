"""Where the object of an image is: a file, outlines or boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class MaskFile:
    """An image file that is not 0 inside the object."""

    path: Path

    def draw(self, size: tuple[int, int]) -> NDArray[Any]:
        """The mask, boolean of shape (height, width), for an image of (width, height)."""
        with Image.open(self.path) as file:
            if file.size != size:
                raise ValueError(
                    f"{self.path} is of {file.width} x {file.height} pixels; its image is of "
                    f"{size[0]} x {size[1]}."
                )
            # A palette's index says what a pixel is; its color is for the eye.
            plain = file.mode in ("1", "L", "P", "I", "I;16")
            return np.asarray(file if plain else file.convert("L")) > 0


@dataclass(frozen=True)
class Polygons:
    """Closed outlines, of which the mask is the union."""

    outlines: tuple[tuple[Point, ...], ...]

    def draw(self, size: tuple[int, int]) -> NDArray[Any]:
        """The mask, boolean of shape (height, width), for an image of (width, height)."""
        canvas = Image.new("1", size)
        for outline in self.outlines:
            ImageDraw.Draw(canvas).polygon(list(outline), fill=1, outline=1)
        return np.array(canvas)


@dataclass(frozen=True)
class Boxes:
    """(left, top, right, bottom) in pixels, all included; the mask is the union."""

    boxes: tuple[Box, ...]

    def draw(self, size: tuple[int, int]) -> NDArray[Any]:
        """The mask, boolean of shape (height, width), for an image of (width, height)."""
        canvas = Image.new("1", size)
        for box in self.boxes:
            ImageDraw.Draw(canvas).rectangle(box, fill=1)
        return np.array(canvas)


MaskSource = Union[MaskFile, Polygons, Boxes]
