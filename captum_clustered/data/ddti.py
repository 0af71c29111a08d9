"""DDTI: thyroid ultrasound with outlines."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image
from typing_extensions import Unpack

from captum_clustered.data._tables import find_folder
from captum_clustered.data.base import MaskedImages, Sample, Transforms
from captum_clustered.data.masks import Point, draw_polygons

# A point has no brackets, so this finds each complete list of points, whatever follows it.
POINTS = re.compile(r'"points"\s*:\s*(\[[^\[\]]*\])')
CLASSES = ("benign", "malignant")
LABEL = {"2": 0, "3": 0, "4a": 1, "4b": 1, "4c": 1, "5": 1}
SOURCE = (
    "DDTI is linked at http://cimalab.unal.edu.co (Pedraza et al., An open access thyroid "
    "ultrasound image database, Proc. SPIE 9287, 2015, doi 10.1117/12.2073532), under the terms "
    "stated there. It is downloaded and unpacked by hand."
)


class DDTI(MaskedImages):
    r"""
    DDTI: thyroid ultrasound with outlines of nodules and a TI-RADS category.

    Pedraza et al., "An open access thyroid ultrasound image database", Proc. SPIE 9287, 2015,
    doi 10.1117/12.2073532. Download it from http://cimalab.unal.edu.co, under the terms
    stated there, and unpack it. Each case has an XML file, ``1.xml``, and its images,
    ``1_1.jpg``, ``1_2.jpg``, ...

    An item is (image, label, mask) as :class:`MaskedImages` describes it; the mask is the union
    of the outlines. The label follows from the case's TI-RADS category, not from histology:
    0 (benign) for 2 and 3, 1 (malignant) for 4a, 4b, 4c and 5. Authors do not agree about 4a;
    the attribute tirads helps to leave it out. All images of a case have its label. There are
    no official splits: use :func:`split_by_patient`, for which a case is a patient.

    The release has faults. Cases without a category and images without an outline are left
    out. Of XML or outlines that are cut off, the complete part is used. The attribute problems
    lists all of that.

    Args:

        root (str or Path): The folder with the XML files and images, or one that holds it.
        **transforms: See :class:`MaskedImages`.

    Attributes:

        tirads (list of str): Category of each image's case: "2", "3", "4a", "4b", "4c" or "5".

    Raises:

        FileNotFoundError: If root does not hold the data.
        ValueError: If no image can be used.

    Examples::

        >>> data = DDTI("DDTI")
        >>> clear = Subset(data, [i for i, t in enumerate(data.tirads) if t != "4a"])
        >>> train, test = split_by_patient(clear, (0.8, 0.2), seed=0)
    """

    def __init__(self, root: str | Path, **transforms: Unpack[Transforms]) -> None:
        folder = find_folder(root, ("*.xml",), SOURCE)
        images: dict[str, dict[str, Path]] = {}  # by case and number
        for path in folder.glob("*.jpg"):
            name, _, number = path.stem.partition("_")
            images.setdefault(name, {})[number] = path
        if not images:
            raise FileNotFoundError(
                f"{folder} has XML files and no images beside them, such as 1_1.jpg of 1.xml. "
                f"{SOURCE}"
            )
        samples, problems = [], []
        self.tirads: list[str] = []
        for path in sorted(folder.glob("*.xml"), key=lambda path: _natural(path.stem)):
            case = read_case(path)
            found, complaints = _samples(case, images.pop(path.stem, {}))
            samples += found
            self.tirads += [case.tirads] * len(found)
            problems += [f"{path.name}: {complaint}" for complaint in complaints]
        orphans = (image for numbers in images.values() for image in numbers.values())
        problems += [f"{image.name}: has no XML file." for image in orphans]
        super().__init__(folder, samples, CLASSES, problems, **transforms)


def _samples(case: DDTICase, images: dict[str, Path]) -> tuple[list[Sample], list[str]]:
    """Return the usable images of a case, and the reasons for leaving out the others."""
    problems = list(case.problems)
    if case.tirads not in LABEL:
        known = ", ".join(LABEL)
        what = (
            f"TI-RADS {case.tirads!r} is none of {known}" if case.tirads else "no TI-RADS category"
        )
        return [], [*problems, f"{what}: its {len(images)} images are left out."]
    for number in sorted(case.outlines.keys() - images.keys(), key=_natural):
        problems.append(f"outlines image {number}, which is missing.")
    samples = []
    for number, path in sorted(images.items(), key=lambda item: _natural(item[0])):
        if number not in case.outlines:
            problems.append(f"no outline in {path.name}, which is left out.")
            continue
        mask = partial(draw_polygons, case.outlines[number])
        try:
            with Image.open(path) as file:
                inside = mask(file.size).any()
        except OSError as error:
            problems.append(f"{path.name} is no readable image ({error}), and left out.")
            continue
        if inside:
            samples.append(Sample(path, LABEL[case.tirads], mask, case.name))
        else:
            problems.append(f"the outlines are outside of {path.name}, which is left out.")
    return samples, problems


def _natural(name: str) -> tuple[int, str]:
    """Return a key that sorts names by number."""
    return (int(name) if name.isdecimal() else -1, name)


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
    lists = POINTS.findall(svg)
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
