"""TN5000: thyroid ultrasound with boxes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path

from typing_extensions import Unpack

from captum_clustered.data._tables import check_files, check_split, find_folder
from captum_clustered.data.base import MaskedImages, Sample, Transforms
from captum_clustered.data.masks import Box, draw_boxes

N_IMAGES = {"train": 3500, "val": 500, "test": 1000, "trainval": 4000}
CLASSES = ("benign", "malignant")
SOURCE = (
    "TN5000 is on figshare, at the address that its article gives (Zhang et al., TN5000: An "
    "Ultrasound Image Dataset for Thyroid Nodule Detection and Classification, Scientific Data, "
    "2025), under the terms stated there. It is downloaded and unpacked by hand."
)


class TN5000(MaskedImages):
    r"""
    TN5000: thyroid ultrasound, each nodule in a box and benign or malignant.

    5,000 images: Zhang et al., "TN5000: An ultrasound image dataset for thyroid nodule
    detection and classification", Scientific Data, 2025. Download it from figshare, at the
    address and under the terms that the article and its record give, and unpack it. It has the
    layout of Pascal VOC: ``JPEGImages``, ``Annotations`` with an object named "0" (benign) or
    "1" (malignant) for each box, and the official lists in ``ImageSets/Main``.

    An item is (image, label, mask) as :class:`MaskedImages` describes it. The label is 1
    (malignant) if one of the nodules is, else 0 (benign), and the mask is the union of the
    boxes. A box holds more than the nodule: IoU with it is not IoU with an outline.

    The release names no patients. Nobody can check whether one is in two of the official
    splits, and :func:`split_by_patient` does not apply.

    Args:

        root (str or Path): The folder with ``JPEGImages``, or the one the archive was unpacked
                    to.
        split (str, optional): "train", "val", "test" or "trainval".
                    Default: "train"
        **transforms: See :class:`MaskedImages`.

    Raises:

        FileNotFoundError: If root does not hold the data, or images or annotations of the
                    split are missing.
        ValueError: If split is not accepted, or no image can be used.

    Examples::

        >>> data = TN5000("TN5000_forReview", split="test")
        >>> image, label, mask = data[0]
        >>> data.classes[label]
        'malignant'
    """

    def __init__(
        self, root: str | Path, split: str = "train", **transforms: Unpack[Transforms]
    ) -> None:
        check_split(split, tuple(N_IMAGES))
        folder = find_folder(root, ("JPEGImages",), SOURCE)
        lists = folder / "ImageSets" / "Main"
        check_files([lists / f"{split}.txt"], "lists of images", SOURCE)
        names = (lists / f"{split}.txt").read_text(encoding="utf-8").split()
        problems = []
        if len(names) != N_IMAGES[split]:
            problems.append(
                f"{split}.txt names {len(names)} images, the release {N_IMAGES[split]}."
            )
        images = [folder / "JPEGImages" / f"{name}.jpg" for name in names]
        annotations = [folder / "Annotations" / f"{name}.xml" for name in names]
        check_files(images, "images", SOURCE)
        check_files(annotations, "annotations", SOURCE)
        samples = []
        for image, annotation in zip(images, annotations, strict=True):
            try:
                label, boxes = _read(annotation)
            except ValueError as error:
                problems.append(f"{annotation.name}: {error}")
            else:
                samples.append(Sample(image, label, partial(draw_boxes, boxes)))
        super().__init__(folder, samples, CLASSES, problems, **transforms)


def _read(path: Path) -> tuple[int, tuple[Box, ...]]:
    """Return the label and the boxes of an annotation; a ValueError has the fault."""
    try:
        # The user chose the file, and expat limits how entities expand.
        objects = ET.parse(path).findall("object")  # noqa: S314
    except ET.ParseError as error:
        raise ValueError(f"no readable XML ({error}).") from error
    names = {(item.findtext("name") or "").strip() for item in objects}
    if not names:
        raise ValueError("has no object.")
    if not names <= {"0", "1"}:
        raise ValueError(f"names objects {sorted(names)}; expected '0' or '1'.")
    return int(max(names)), tuple(_box(item) for item in objects)


def _box(item: ET.Element) -> Box:
    texts = [item.findtext(f"bndbox/{side}") or "" for side in ("xmin", "ymin", "xmax", "ymax")]
    try:
        left, top, right, bottom = map(float, texts)
    except ValueError:
        raise ValueError(f"has the box {texts}, which is not of four numbers.") from None
    if not (left <= right and top <= bottom):
        raise ValueError(f"has the box {texts}, which is empty.")
    return left, top, right, bottom
