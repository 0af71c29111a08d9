"""Any folder of images with a table of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import Unpack

from captum_clustered.data.base import MaskedImages, Sample, Transforms
from captum_clustered.data.masks import MaskFile
from captum_clustered.data.patients import check_patients_apart
from captum_clustered.data.tables import check_files, check_split, read_table


class ImageTable(MaskedImages):
    r"""
    Images that a CSV file lists, with their labels, and masks, patients and splits if any.

    An item is (image, label, mask), or (image, label) without a column of masks: a PIL image
    in RGB, the index in classes and a ``torchvision.tv_tensors.Mask`` of shape (1, height,
    width) that is 1 where the mask's file is not 0.

    Args:

        root (str or Path): The folder that the paths in the table are relative to.
        table (str or Path, optional): The CSV file, relative to root. Its first row names the
                    columns.
                    Default: "labels.csv"
        split (str, optional): The rows that have this in split_column.
                    Default: None (all rows)
        image_column (str, optional): Column of the images' paths.
                    Default: "image"
        label_column (str, optional): Column of the classes' names.
                    Default: "label"
        mask_column (str, optional): Column of the masks' paths.
                    Default: None (no masks)
        patient_column (str, optional): Column of the patients' names, needed for
                    :func:`split_by_patient`. With split_column, a patient in two splits is an
                    error.
                    Default: None (patients are not known)
        split_column (str, optional): Column of the splits' names.
                    Default: None
        classes (sequence of str, optional): The classes' names in the order of a network's
                    outputs.
                    Default: None (those in the table, in any split; sorted, as numbers if
                    they are)
        **transforms: transform, target_transform or transforms, as :class:`MaskedImages` has
                    them.

    Attributes:

        classes, class_to_idx, targets: As in torchvision.
        patients (list of str or None): Patient of each image.

    Raises:

        FileNotFoundError: If the table, or an image or mask that it names, is missing.
        ValueError: If a column is missing or has an empty value, a label is not in classes,
                    split is not in split_column or given without it, or a patient is in two
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
                check_split(split, sorted({row[split_column] for row in rows}))
                rows = [row for row in rows if row[split_column] == split]
        images = [root / row[image_column] for row in rows]
        check_files(images, f"images in {path}")
        masks = [root / row[mask_column] for row in rows] if mask_column is not None else []
        check_files(masks, f"masks in {path}")
        samples = [
            Sample(
                image,
                classes.index(row[label_column]),
                MaskFile(masks[index]) if masks else None,
                row[patient_column] if patient_column is not None else None,
            )
            for index, (row, image) in enumerate(zip(rows, images, strict=True))
        ]
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
