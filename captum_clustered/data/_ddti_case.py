"""Read the XML file of one case of DDTI, even if it is damaged."""

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

# A point has no brackets, so this finds each complete list of points, whatever follows it.
_POINTS = re.compile(r'"points"\s*:\s*(\[[^\[\]]*\])')


@dataclass
class DDTICase:
    """A case by its name, with its category if any, and the outlines by number of the image."""

    name: str
    tirads: str = ""
    outlines: dict[str, list[tuple[Point, ...]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_case(path: Path) -> DDTICase:
    """Read all that is complete in the file."""
    case = DDTICase(path.stem)
    # Elements come one by one, so a fault loses only those after it. The user chose the file,
    # and expat limits how entities expand.
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
    """Return the complete outlines, and whether there is anything else."""
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
