"""What a page shows, whichever run it is of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cell:
    """
    Of the summary.

    Attributes:

        text (str): What is read.
        small (str): What stands behind it, such as an interval.
        order (float or None): What the column is sorted by; those without come last.
    """

    text: str
    small: str = ""
    order: float | None = None


@dataclass(frozen=True)
class Column:
    """
    Attributes:

        name (str): Heading.
        direction (str or None): Which values are better, "higher" or "lower", if any.
    """

    name: str
    direction: str | None = None


@dataclass(frozen=True)
class Row:
    """
    Of the summary.

    Attributes:

        name (str): Its heading.
        tag (str): A word that marks it, such as "control".
        cells (list): One for each column.
    """

    name: str
    tag: str
    cells: list[Cell]


@dataclass(frozen=True)
class Summary:
    """
    Attributes:

        kind (str): What the rows are.
        columns (list): Without that of the rows' names.
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
    A map as the page draws it.

    Attributes:

        height, width (int): Of its values.
        low, high (float): The map's smallest and largest value.
        limit (float): The value that 127 stands for; 0 for a map of zeros.
        values (str): Integers from -127 to 127 as bytes, in base64.
    """

    height: int
    width: int
    low: float
    high: float
    limit: float
    values: str


@dataclass(frozen=True)
class Failed:
    """
    In the place of a map.

    Attributes:

        reason (str): Why there is none.
    """

    reason: str


@dataclass(frozen=True)
class Clusters:
    """
    The clusters of channels behind a map; a page may have very many, so they are lists.

    Attributes:

        title (str): What unfolds them.
        scale (str): How their maps are colored, and which they are.
        importances (list): As they are read, the most important first.
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
    Attributes:

        name (str): What it is called.
        facts (list): Phrases on its classes and scores.
        label, prediction (int or None): Its true and its predicted class.
        height, width (int): Of the picture.
        picture (str or None): WebP in base64; None where an image is no picture.
        mask (list or None): Lengths of its runs of pixels, in reading order, first outside.
        maps (list): A :class:`Map` or :class:`Failed` for each method.
        values (list): For each number its values, one for each method or for the image.
        scale (str): How its maps are colored, if not each by itself.
        clusters (list): For each map that has some; see :class:`Clusters`.
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
    clusters: list[Clusters] = field(default_factory=list)


@dataclass(frozen=True)
class Number:
    """
    What images can be ordered and filtered by.

    Attributes:

        name (str): Its name.
        direction (str or None): As in :class:`Column`.
        by_method (bool): Whether each method has its own.
    """

    name: str
    direction: str | None
    by_method: bool


@dataclass(frozen=True)
class Shown:
    """
    A method.

    Attributes:

        name (str): Its name.
        is_control (bool): Whether it explains nothing.
    """

    name: str
    is_control: bool = False


@dataclass(frozen=True)
class Report:
    """
    Attributes:

        title (str): Heading of the page.
        facts (list): What the run was, as pairs of a word and its meaning.
        summary (Summary): The table.
        left_out (list): Images and methods that are missing, and why.
        remarks (list): Sentences on how the pictures are to be read.
        methods (list): In the order of each image's maps.
        numbers (list): In the order of each image's values.
        classes (dict): Names of the classes that occur, by their numbers.
        images (list): All that can be shown.
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
        """What the page's script is given: lists, dictionaries, texts and numbers."""
        return {
            "methods": [asdict(method) for method in self.methods],
            "numbers": [asdict(number) for number in self.numbers],
            "classes": self.classes,
            "images": [asdict(image) for image in self.images],
        }
