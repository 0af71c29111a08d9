"""
The data sets by the names that commands have for them.

Each reader takes a folder, a split and transforms. Without a split, it reads what the class of
the data set reads by default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from typing_extensions import Unpack

from captum_clustered.data._labels import class_indices
from captum_clustered.data._originals import JointPreprocessing
from captum_clustered.data._tables import read_table
from captum_clustered.data.base import MaskedImages, Transforms
from captum_clustered.data.bus_bra import BUSBRA
from captum_clustered.data.ddti import DDTI
from captum_clustered.data.image_table import ImageTable
from captum_clustered.data.preprocessing import Preprocessing
from captum_clustered.data.tn5000 import TN5000


def has_splits(name: str, root: str | Path) -> bool:
    """Return whether a data set has its own splits."""
    if name == "table":
        return any(row["split"] for row in read_table(_table_file(root), ("image",), ("split",)))
    return name != "ddti"


def _ddti(
    root: str | Path, split: str | None = None, **transforms: Unpack[Transforms]
) -> MaskedImages:
    if split is not None:
        raise ValueError(f"split={split!r} is not accepted: DDTI has no splits.")
    return DDTI(root, **transforms)


def _table(
    root: str | Path, split: str | None = None, **transforms: Unpack[Transforms]
) -> MaskedImages:
    """Read a table with the columns image, mask, label and patient; split if one is given."""
    file = _table_file(root)
    return ImageTable(
        file.parent,
        file.name,
        split=split,
        mask_column="mask",
        patient_column="patient",
        split_column="split" if has_splits("table", file) or split is not None else None,
        **transforms,
    )


def _table_file(root: str | Path) -> Path:
    root = Path(root).expanduser()
    return root if root.suffix == ".csv" else root / "labels.csv"


DATASETS: dict[str, Callable[..., MaskedImages]] = {
    "busbra": BUSBRA,
    "ddti": _ddti,
    "tn5000": TN5000,
    "table": _table,
}


def read_for_network(
    name: str,
    root: str | Path,
    split: str | None,
    preprocessing: Preprocessing,
    classes: Sequence[str] | None,
    n_classes: int | None,
) -> MaskedImages:
    """
    Read a data set whose items are inputs of a network, its labels and masks.

    The labels are matched with the names of the network's classes, if they are known.
    """
    whole = DATASETS[name](root, **({} if split is None else {"split": split}))
    number = class_indices(whole.classes, classes, n_classes, name)
    samples = [replace(each, label=number[whole.classes[each.label]]) for each in whole.samples]
    transforms = JointPreprocessing(preprocessing)
    return MaskedImages(Path(whole.root), samples, classes or whole.classes, transforms=transforms)
