"""Where the object of an image is: a file, outlines or boxes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from captum_clustered._errors import ImageError, printable
from captum_clustered.data.images import decoded, existing_file

Point = tuple[float, float]
LOSSY = ("JPEG", "JPEG2000", "MPO", "WEBP")
Box = tuple[float, float, float, float]


def read_mask(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> Tensor:
    """
    Read the mask of an object: every pixel that is not black belongs to it.

    The color of a pixel counts, not its index in a palette. A color as dark as (40, 0, 0)
    counts, and so does 1 of 65535. In a lossy format (JPEG, WebP), which blurs the edge, a pixel
    must be brighter than half of the largest value. Transparency is ignored. The orientation in
    the EXIF data is applied.

    Args:

        path (str or os.PathLike): The file.
        size (tuple[int, int], optional): Width and height of the image. A mask of the same
                    proportions is scaled to it without interpolation.
                    Default: None (as the mask is)

    Returns:
        Tensor: Boolean, (height, width).

    Raises:

        FileNotFoundError: If there is no such file.
        ImageError: If it cannot be read, or has other proportions than the image.

    Examples::

        >>> image = read_image("scan.png")
        >>> mask = read_mask("scan_mask.png", image.size)
    """
    path = Path(path)
    existing_file(path)
    image = decoded(path)
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA", "F") and image.mode[0] != "I":
        # In a palette, or of inks, 0 need not be black. Pillow warns of a palette's alpha as RGB.
        image = image.convert("RGBA" if image.mode[0] == "P" else "RGB")
    bands = image.getbands()
    values = np.asarray(image).reshape(image.height, image.width, -1)
    values = values[..., : len(bands) - (bands[-1] == "A")]
    with Image.open(path) as file:
        is_lossy = file.format in LOSSY
    inside = (values > values.max() / 2 if is_lossy else values != 0).any(2)
    if size is not None and image.size != size:
        if not _same_proportions(image.size, size):
            raise ImageError(
                f"{printable(path)} is {image.width} x {image.height}, which does not lie on an "
                f"image of {size[0]} x {size[1]}."
            )
        inside = np.array(Image.fromarray(inside).resize(size, Image.Resampling.NEAREST))
    return torch.from_numpy(inside)


def _same_proportions(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one size is the other by some scale, each side rounded to whole pixels."""

    def is_scaled(small: tuple[int, int], large: tuple[int, int]) -> bool:
        lowest = max((s - 0.5) / side for s, side in zip(small, large, strict=True))
        highest = min((s + 0.5) / side for s, side in zip(small, large, strict=True))
        return lowest <= highest

    return is_scaled(one, other) or is_scaled(other, one)


def draw_polygons(outlines: Iterable[Sequence[Point]], size: tuple[int, int]) -> Tensor:
    """Return the union of closed outlines, boolean (height, width), for a (width, height)."""
    canvas = Image.new("1", size)
    for outline in outlines:
        ImageDraw.Draw(canvas).polygon(list(outline), fill=1, outline=1)
    return torch.from_numpy(np.array(canvas))


def draw_boxes(boxes: Iterable[Box], size: tuple[int, int]) -> Tensor:
    """Return the union of boxes (left, top, right, bottom), whose edges are included."""
    canvas = Image.new("1", size)
    for box in boxes:
        ImageDraw.Draw(canvas).rectangle(box, fill=1)
    return torch.from_numpy(np.array(canvas))
