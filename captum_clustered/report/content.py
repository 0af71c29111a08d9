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
    # The map's smallest and largest value.
    low: float
    high: float
    # The value of level 127; 0 for a map of zeros.
    limit: float
    # Levels from -127 to 127 as bytes, in base64.
    values: str


@dataclass(frozen=True)
class Failed:
    """The reason why there is no map."""

    reason: str


@dataclass(frozen=True)
class ClusterPanel:
    """The clusters of channels behind a map, as parallel lists: a page may have very many."""

    # Text of the button that unfolds them.
    title: str
    # How their maps are colored, and which clusters these are.
    scale: str
    # As texts, the most important first.
    importances: list[str]
    # Numbers of channels.
    sizes: list[int]
    # The shape of each map, its smallest and largest value, and its levels as in Map.
    height: int
    width: int
    ranges: list[tuple[float, float]]
    values: list[str]


@dataclass(frozen=True)
class ShownImage:
    """An image with its maps."""

    name: str
    # Phrases on its classes and scores.
    facts: list[str]
    # The number of the true class.
    label: int | None
    prediction: int | None
    # The picture as WebP in base64; None if the input is no picture.
    height: int
    width: int
    picture: str | None
    # The part of it that the network saw: top, left, bottom and right in shares of its sides.
    seen: list[float]
    # Lengths of runs of equal pixels in reading order, first outside.
    mask: list[int] | None
    # One for each method.
    maps: list[Map | Failed]
    # For each of the report's numbers its values, one per method or one for the image.
    values: list[list[float | None]]
    # How its maps are colored, if not each by itself.
    scale: str = ""
    # One for each map that has clusters.
    clusters: list[ClusterPanel] = field(default_factory=list)


@dataclass(frozen=True)
class Number:
    """A number to order and filter images by; ``by_method``: each method has its own value."""

    name: str
    direction: str | None
    by_method: bool


@dataclass(frozen=True)
class Shown:
    """A method."""

    name: str
    is_control: bool = False


@dataclass(frozen=True)
class Report:
    """All that a page shows."""

    title: str
    # Titles and texts that describe the run.
    facts: list[tuple[str, str]]
    summary: Summary
    # Missing images and methods, and the reasons.
    left_out: list[tuple[str, str]]
    # Sentences on how to read the pictures.
    remarks: list[str]
    # In the order of each image's maps.
    methods: list[Shown]
    # In the order of each image's values.
    numbers: list[Number]
    # Names of the classes that occur, by number.
    classes: dict[int, str]
    images: list[ShownImage]
    # Number of this page, from 0, and of all pages; a large run has several.
    page: int = 0
    n_pages: int = 1

    def data(self) -> dict[str, Any]:
        """Return the data for the page's script, as JSON values."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name in ("methods", "numbers", "classes", "images")
        }
