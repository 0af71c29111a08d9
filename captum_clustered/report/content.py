"""What a page shows, whatever run it reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A cell of the summary: text, smaller text after it, and a key to sort by (None: last)."""

    text: str
    small: str = ""
    order: float | None = None


@dataclass(frozen=True)
class Column:
    """A column of the summary; ``direction`` says whether "higher" or "lower" is better."""

    name: str
    direction: str | None = None


@dataclass(frozen=True)
class Row:
    """A row of the summary; ``tag`` is a word that marks it, such as "control"."""

    name: str
    tag: str
    cells: list[Cell]


@dataclass(frozen=True)
class Summary:
    """The table at the top of a page: ``kind`` heads the rows' names, remarks stand below."""

    kind: str
    columns: list[Column]
    rows: list[Row]
    remarks: list[str]


@dataclass(frozen=True)
class Map:
    """A map for the page."""

    height: int
    width: int
    low: float  # the smallest value
    high: float  # the largest
    limit: float  # the value of level 127; 0 for a map of zeros
    values: str  # levels from -127 to 127 as bytes, in base64


@dataclass(frozen=True)
class Failed:
    """The reason why there is no map."""

    reason: str


@dataclass(frozen=True)
class ClusterPanel:
    """The clusters of channels behind a map, as parallel lists: a page may have very many."""

    title: str  # text of the button that unfolds them
    scale: str  # how their maps are colored, and which clusters these are
    importances: list[str]  # as texts, the most important first
    sizes: list[int]  # numbers of channels
    height: int  # of each map
    width: int
    ranges: list[tuple[float, float]]  # the smallest and largest value of each map
    values: list[str]  # its levels as in Map


@dataclass(frozen=True)
class ShownImage:
    """An image with its maps."""

    name: str
    facts: list[str]  # phrases on its classes and scores
    label: int | None  # the number of the true class
    prediction: int | None
    height: int  # of the picture
    width: int
    picture: str | None  # WebP in base64; None if the input is no picture
    # The part of it that the network saw: top, left, bottom and right in shares of its sides.
    seen: list[float]
    mask: list[int] | None  # lengths of runs of equal pixels in reading order, first outside
    maps: list[Map | Failed]  # one for each method
    # For each of the report's numbers its values, one per method or one for the image.
    values: list[list[float | None]]
    scale: str = ""  # how its maps are colored, if not each by itself
    clusters: list[ClusterPanel] = field(default_factory=list)  # one for each map that has clusters


@dataclass(frozen=True)
class Number:
    """A number to order and filter images by; ``by_method``: each method has its own value."""

    name: str
    by_method: bool = False


@dataclass(frozen=True)
class Shown:
    """A method."""

    name: str
    is_control: bool = False


@dataclass(frozen=True)
class Report:
    """All that a page shows."""

    title: str
    facts: list[tuple[str, str]]  # titles and texts that describe the run
    summary: Summary
    left_out: list[tuple[str, str]]  # missing images and methods, and the reasons
    remarks: list[str]  # sentences on how to read the pictures
    methods: list[Shown]  # in the order of each image's maps
    numbers: list[Number]  # in the order of each image's values
    classes: dict[int, str]  # names of the classes that occur, by number
    images: list[ShownImage]
    page: int = 0  # the number of this one, from 0
    n_pages: int = 1  # a large run has several

    def data(self) -> dict[str, Any]:
        """Return the data for the page's script, as JSON values."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name in ("methods", "numbers", "classes", "images")
        }
