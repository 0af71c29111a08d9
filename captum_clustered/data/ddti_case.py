"""The XML file of one case of DDTI, as far as it can be read."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from captum_clustered.data.masks import Point

# Points have no brackets of their own, so this finds each complete list of them, whether what
# follows it is complete or not.
_POINTS = re.compile(r'"points"\s*:\s*(\[[^\[\]]*\])')


@dataclass
class DDTICase:
    """
    Attributes:

        name (str): Name of the file.
        tirads (str): The category, empty if there is none.
        outlines (dict): Outlines in each image, by its number.
        problems (list of str): What could not be read.
    """

    name: str
    tirads: str = ""
    outlines: dict[str, list[tuple[Point, ...]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_case(path: Path) -> DDTICase:
    """All that is complete in the file."""
    case = DDTICase(path.stem)
    # Elements come one by one as they end, so those before a fault are not lost with it. Files
    # of the user's own choice; expat itself limits how entities expand.
    parser: ET.XMLPullParser[Any] = ET.XMLPullParser(["end"])
    parser.feed(path.read_text(encoding="utf-8", errors="replace"))
    try:
        # With "end" alone, each event has an element.
        for _, element in cast("Iterator[tuple[str, ET.Element]]", parser.read_events()):
            _take(element, case)
        parser.close()
    except ET.ParseError as error:
        case.problems.append(f"XML is cut off or broken ({error}).")
    return case


def _take(element: ET.Element, case: DDTICase) -> None:
    if element.tag == "tirads":
        case.tirads = (element.text or "").strip().lower()
    if element.tag != "mark":
        return
    number = (element.findtext("image") or "").strip()
    svg = (element.findtext("svg") or "").strip()
    if not number:
        case.problems.append("an outline names no image.")
    elif not svg:
        case.problems.append(f"an outline of image {number} is empty.")
    else:
        outlines, cut = _outlines(svg)
        if cut:
            case.problems.append(
                f"outlines of image {number} are cut off or broken; {len(outlines)} could be used."
            )
        if outlines:
            case.outlines.setdefault(number, []).extend(outlines)


def _outlines(svg: str) -> tuple[list[tuple[Point, ...]], bool]:
    """The complete outlines, and whether there is anything else."""
    outlines = []
    lists = _POINTS.findall(svg)
    for text in lists:
        try:
            outline = tuple((float(point["x"]), float(point["y"])) for point in json.loads(text))
        except (ValueError, TypeError, KeyError, OverflowError):
            continue
        if len(outline) > 2 and np.isfinite(outline).all():
            outlines.append(outline)
    try:
        json.loads(svg)
    except ValueError:
        return outlines, True
    return outlines, not lists or len(outlines) < len(lists)
