"""A data set from a folder of images and a table of labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from typing_extensions import Unpack

from captum_clustered.data._tables import check_files, check_split, read_table
from captum_clustered.data.base import MaskedImages, Sample, Transforms
from captum_clustered.data.masks import read_mask
from captum_clustered.data.patients import check_patients_apart


class ImageTable(MaskedImages):
    r"""
    Images that a CSV file lists, with labels and, optionally, masks, patients and splits.

    An item is (image, label, mask) as :class:`MaskedImages` describes it, or (image, label)
    without a column of masks.

    Args:

        root (str or Path): The folder that the paths in the table are relative to.
        table (str or Path, optional): The CSV file, relative to root. Its first row names the
                    columns.
                    Default: "labels.csv"
        split (str, optional): Keep the rows that have this value in split_column.
                    Default: None (all rows)
        image_column (str, optional): Column of the paths of the images.
                    Default: "image" (or "file")
        label_column (str, optional): Column of the names of the classes.
                    Default: "label"
        mask_column (str, optional): Column of the paths of the masks, which
                    :func:`read_mask` reads.
                    Default: None (no masks)
        patient_column (str, optional): Column of the names of the patients, which
                    :func:`split_by_patient` needs.
                    Default: None (patients are not known)
        split_column (str, optional): Column of the names of the splits.
                    Default: None
        classes (sequence of str, optional): Names of the classes in the order of the network's
                    outputs.
                    Default: None (those in the whole table, sorted; numbers by value)
        **transforms: See :class:`MaskedImages`.

    Raises:

        FileNotFoundError: If the table, or an image or mask that it names, is missing.
        ValueError: If a column is missing or has an empty value, a label is not in classes,
                    split is not in split_column or is given without it, or a patient is in two
                    splits.

    Examples::

        >>> # labels.csv: image,mask,label,patient
        >>> #             images/1.png,masks/1.png,benign,a
        >>> data = ImageTable("study", mask_column="mask", patient_column="patient")
        >>> train, test = split_by_patient(data, (0.8, 0.2))
    """

    def __init__(
        self,
        root: str | Path,
        table: str | Path = "labels.csv",
        *,
        split: str | None = None,
        image_column: str = "image",
        label_column: str = "label",
        mask_column: str | None = None,
        patient_column: str | None = None,
        split_column: str | None = None,
        classes: Sequence[str] | None = None,
        **transforms: Unpack[Transforms],
    ) -> None:
        if split is not None and split_column is None:
            raise ValueError(f"split={split!r} needs split_column, the column to look for it in.")
        root = Path(root).expanduser()
        path = root / table
        given = (image_column, label_column, mask_column, patient_column, split_column)
        columns = [column for column in given if column is not None]
        rows = read_table(path, columns)
        for row in rows:
            empty = [column for column in columns if not row[column]]
            if empty:
                raise ValueError(f"{path} has nothing in column {empty[0]!r}, line {row.line}.")
        classes = _classes([row[label_column] for row in rows], classes, path)
        if split_column is not None:
            if patient_column is not None:
                pairs = ((row[patient_column], row[split_column]) for row in rows)
                check_patients_apart(pairs, str(path))
            if split is not None:
                check_split(
                    split,
                    sorted({row[split_column] for row in rows}),
                    f"{path}, column {split_column!r}: ",
                )
                rows = [row for row in rows if row[split_column] == split]
        images = [root / row[image_column] for row in rows]
        check_files(images, f"images in {path}")
        masks = [root / row[mask_column] for row in rows] if mask_column is not None else []
        check_files(masks, f"masks in {path}")
        draw = [partial(read_mask, mask) for mask in masks] if masks else [None] * len(rows)
        patients = [row[patient_column] if patient_column else None for row in rows]
        labels = [classes.index(row[label_column]) for row in rows]
        samples = list(map(Sample, images, labels, draw, patients))
        super().__init__(root, samples, classes, **transforms)


def _classes(labels: Sequence[str], classes: Sequence[str] | None, path: Path) -> list[str]:
    found = set(labels)
    if classes is None:
        numbers = all(label.isdecimal() for label in found)
        return sorted(found, key=int) if numbers else sorted(found)
    unknown = sorted(found - set(classes))
    if unknown:
        raise ValueError(f"{path} has labels {unknown}, which are not in classes={list(classes)}.")
    return list(classes)
