"""A contact sheet: a row for each cluster of channels, with the images that show it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from captum_clustered.visualization.arrays import ArrayOrTensor, as_map, as_mask, as_picture
from captum_clustered.visualization.canvas import MUTED
from captum_clustered.visualization.interpolation import Seen, placed
from captum_clustered.visualization.layer_attr import draw_overlay
from captum_clustered.visualization.look import Look
from captum_clustered.visualization.palette import OPACITY
from captum_clustered.visualization.scale import Scale, draw_color_bar

# Inches.
_CELL, _CAPTION, _GAP, _TEXT, _TITLE, _MARGIN = 1.7, 0.7, 0.12, 2.7, 1.0, 0.3
# The color bar, and the room for its numbers and its label.
_BAR, _BAR_TEXT = 0.12, 0.85
# Of the subtitle, on average.
_LETTERS_PER_INCH = 12


@dataclass(frozen=True)
class SheetCell:
    """
    An image and a map of it.

    Attributes:

        image (Tensor, numpy.ndarray or PIL.Image.Image): As in :func:`visualize_layer_attr`.
        map (Tensor or numpy.ndarray): As ``attr`` in :func:`visualize_layer_attr`.
        caption (str): Written below the image, at most four lines.
        mask (Tensor or numpy.ndarray, optional): The object, whose outline is drawn.
                    Default: None
        seen (tuple, optional): The part of the image that the network saw, as in
                    :func:`captum_clustered.visualization.overlay`.
                    Default: None (the whole image)
    """

    image: ArrayOrTensor
    map: ArrayOrTensor
    caption: str
    mask: ArrayOrTensor | None = None
    seen: Seen | None = None


@dataclass(frozen=True)
class SheetRow:
    """
    A cluster and its images.

    Attributes:

        name (str): The cluster's name.
        facts (str): Lines about the cluster.
        cells (Sequence[SheetCell]): Its images, on one color scale.
    """

    name: str
    facts: str
    cells: Sequence[SheetCell]


def draw_contact_sheet(
    rows: Sequence[SheetRow],
    title: str,
    subtitle: str = "",
    label: str = "attribution",
    *,
    opacity: float = OPACITY,
    outline: bool = False,
    keep_colors: bool = False,
) -> Figure:
    """
    Draw a row of images for each cluster, with the color bar of the row.

    Args:

        rows (Sequence[SheetRow]): The clusters.
        title (str): The heading.
        subtitle (str, optional): Text below the heading.
                    Default: ""
        label (str, optional): Label of the color bars: the quantity and its unit.
                    Default: "attribution"
        opacity, outline, keep_colors (optional): As in
                    :func:`captum_clustered.visualization.overlay`.

    Returns:
        matplotlib.figure.Figure: The sheet.
    """
    look = Look(opacity, outline, keep_colors)
    n_columns = max((len(row.cells) for row in rows), default=0)
    width = _MARGIN + _TEXT + n_columns * (_CELL + _GAP) + _BAR + _BAR_TEXT + _MARGIN
    subtitle = textwrap.fill(subtitle, int((width - 2 * _MARGIN) * _LETTERS_PER_INCH))
    heading = _TITLE + 0.2 * subtitle.count("\n")
    height = heading + len(rows) * (_CELL + _CAPTION + _GAP)
    figure = Figure((width, height), dpi=100, facecolor="white")

    def write(x: float, y: float, text: str, size: float, color: str = "black") -> None:
        """Write at a place in inches from the top left; names may hold dollar signs."""
        style: dict[str, Any] = {"fontsize": size, "color": color, "va": "top", "parse_math": False}
        figure.text(x / width, 1 - y / height, text, linespacing=1.4, **style)

    write(_MARGIN, 0.2, title, 15)
    write(_MARGIN, 0.6, subtitle, 10, MUTED)
    for number, row in enumerate(rows):
        top = heading + number * (_CELL + _CAPTION + _GAP)
        write(_MARGIN, top + 0.1, row.name, 13)
        write(_MARGIN, top + 0.4, row.facts, 9.5, MUTED)
        pictures = [as_picture(cell.image) for cell in row.cells]
        maps = [
            placed(as_map(cell.map), picture.shape[:2], seen=cell.seen)
            for cell, picture in zip(row.cells, pictures, strict=True)
        ]
        scale = Scale.of(maps)
        for column, (cell, picture, values) in enumerate(
            zip(row.cells, pictures, maps, strict=True)
        ):
            left = _MARGIN + _TEXT + column * (_CELL + _GAP)
            box = (left / width, 1 - (top + _CELL) / height, _CELL / width, _CELL / height)
            mask = None if cell.mask is None else as_mask(cell.mask, picture.shape[:2])
            axis = figure.add_axes(box, anchor="S")
            draw_overlay(axis, picture, values, scale, look, mask)
            write(left, top + _CELL + 0.05, cell.caption, 7.5)
        if row.cells:
            left = _MARGIN + _TEXT + len(row.cells) * (_CELL + _GAP)
            box = (left / width, 1 - (top + _CELL) / height, _BAR / width, _CELL / height)
            draw_color_bar(figure, scale, label, look, cax=figure.add_axes(box))
    return figure
