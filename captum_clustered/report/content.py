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
    """
    The table at the top of a page.

    Attributes:

        kind (str): Heading of the rows' names.
        columns (list): All columns but that of the rows' names.
        rows (list): In their first order.
        remarks (list): Sentences below the table.
    """

    kind: str
    columns: list[Column]
    rows: list[Row]
    remarks: list[str]


@dataclass(frozen=True)
class Map:
    """
    A map for the page.

    Attributes:

        height, width (int): Of its values.
        low, high (float): The map's smallest and largest value.
        limit (float): The value of level 127; 0 for a map of zeros.
        values (str): Levels from -127 to 127 as bytes, in base64.
    """

    height: int
    width: int
    low: float
    high: float
    limit: float
    values: str


@dataclass(frozen=True)
class Failed:
    """The reason why there is no map."""

    reason: str


@dataclass(frozen=True)
class ClusterPanel:
    """
    The clusters of channels behind a map, as parallel lists: a page may have very many.

    Attributes:

        title (str): Text of the button that unfolds them.
        scale (str): How their maps are colored, and which clusters these are.
        importances (list): As texts, the most important first.
        sizes (list): Numbers of channels.
        height, width (int): Of the values of each map.
        ranges (list): The maps' smallest and largest values.
        values (list): As in :class:`Map`; all maps share a scale.
    """

    title: str
    scale: str
    importances: list[str]
    sizes: list[int]
    height: int
    width: int
    ranges: list[tuple[float, float]]
    values: list[str]


@dataclass(frozen=True)
class ShownImage:
    """
    An image with its maps.

    Attributes:

        name (str): Its name.
        facts (list): Phrases on its classes and scores.
        label, prediction (int or None): Its true and its predicted class.
        height, width (int): Of the picture.
        picture (str or None): WebP in base64; None if the input is no picture.
        mask (list or None): Lengths of runs of equal pixels in reading order, first outside.
        maps (list): A :class:`Map` or :class:`Failed` for each method.
        values (list): For each number its values, one per method or one for the image.
        scale (str): How its maps are colored, if not each by itself.
        clusters (list): For each map that has clusters.
    """

    name: str
    facts: list[str]
    label: int | None
    prediction: int | None
    height: int
    width: int
    picture: str | None
    mask: list[int] | None
    maps: list[Map | Failed]
    values: list[list[float | None]]
    scale: str = ""
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
    """
    All that a page shows.

    Attributes:

        title (str): Heading of the page.
        facts (list): Pairs of a title and a text that describe the run.
        summary (Summary): The table.
        left_out (list): Pairs of a missing image or method and the reason.
        remarks (list): Sentences on how to read the pictures.
        methods (list): In the order of each image's maps.
        numbers (list): In the order of each image's values.
        classes (dict): Names of the classes that occur, by number.
        images (list): The images.
    """

    title: str
    facts: list[tuple[str, str]]
    summary: Summary
    left_out: list[tuple[str, str]]
    remarks: list[str]
    methods: list[Shown]
    numbers: list[Number]
    classes: dict[int, str]
    images: list[ShownImage]

    def data(self) -> dict[str, Any]:
        """Return the data for the page's script, as JSON values."""
        return {
            "methods": [asdict(method) for method in self.methods],
            "numbers": [asdict(number) for number in self.numbers],
            "classes": self.classes,
            "images": [asdict(image) for image in self.images],
        }
