"""The items of a data set on disk, from a folder or a table, and reading them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from captum_clustered._errors import UserError, explained, printable
from captum_clustered.data.dicom import frame_names, is_dicom
from captum_clustered.data.image_folder import class_of
from captum_clustered.data.images import read_image
from captum_clustered.data.preprocessing import Preprocessing
from captum_clustered.models import Model

__all__ = ["ImageItems", "Names", "list_items"]

FILE, LABEL = "file", "label"


class Names(Sequence[str]):
    """
    Names of files in one block of memory: a list of millions of them would be copied, page by
    page, into each process that reads images.

    They are what the system calls the files, which need not be text; bytes that are none are
    shown as ``\\xff``, so that different files have different names.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = pa.array(map(os.fsencode, names), pa.large_binary())

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: Any) -> Any:
        found = self._names[index]
        if isinstance(index, slice):
            return [_shown(name.as_py()) for name in found]
        return _shown(found.as_py())

    def file(self, index: int) -> str:
        """A name as the system takes it."""
        return os.fsdecode(self._names[index].as_py())


def _shown(name: bytes) -> str:
    return name.decode("utf-8", errors="backslashreplace")


@dataclass(frozen=True)
class ImageItems(Dataset[tuple[Tensor, "int | None"]]):
    """
    Images, and frames of images, as inputs of a network.

    Attributes:

        root (Path): What names are relative to.
        names (Names): Of the items.
        labels (pyarrow.Array): Their classes, null where there is none.
        classes (list[str]): Names of classes, where the data have them and the model does not.
        preprocessing (Preprocessing): The way into the network.
    """

    root: Path
    names: Names
    labels: Any
    classes: list[str]
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, int | None]:
        """
        The input (C, H, W) and the label.

        Raises:

            ValueError: If it cannot be read.
        """
        try:
            image = self.image(index)
            with explained("it cannot be prepared for the network"):
                return self.preprocessing(image)[0], self.labels[index].as_py()
        except UserError as error:
            raise ValueError(str(error)) from error

    def image(self, index: int) -> Image.Image:
        """
        The picture.

        Raises:

            UserError: If it cannot be read.
        """
        return read_image(self.root / self.names.file(index))


def list_items(
    data: Path, root: Path | None, model: Model, n_classes: int, preprocessing: Preprocessing
) -> ImageItems:
    """
    The items of a folder, with all folders in it, or of a table.

    Args:

        data (Path): A folder: its images in the order of their names, whose label is the
                    name of the folder in it that they are in, if any. Or a CSV file with the
                    column file and, maybe, label.
        root (Path, optional): What the table's files are relative to.
                    Default: None (the table's folder)
        model (Model): Whose classes the labels are.
        n_classes (int): Their number.
        preprocessing (Preprocessing): The way into the network.

    Raises:

        UserError: If there is nothing, the table cannot be read or a label is no class.
    """
    name = f"--data {printable(data)}"
    if not data.exists():
        raise UserError(f"There is no {name}.")
    if data.is_dir():
        if root is not None:
            raise UserError("--root is for a table of files; --data is a folder.")
        found, base = list(_of_folder(data)), data
    else:
        found, base = _of_table(data, name), root or data.parent
    if not found:
        raise UserError(f"{name} has no image files.")
    items = [(item, text) for file, text in found for item in frame_names(base / file, file)]
    # A file and a frame of it, too, and a file by two names.
    twice = None if data.is_dir() else _first_twice([item for item, _ in items])
    if twice is not None:
        raise UserError(f"{name} has {twice} in two lines.")
    texts = [text for _, text in items]
    try:
        known = _known(sorted(set(texts) - {""}), model, n_classes, name)
    except UserError:
        if not data.is_dir():
            raise
        # Folders may be patients or years: then there are no labels.
        known = {}
    labels = pa.array([known.get(text) for text in texts], pa.int32())
    are_names = model.categories is None and not all(text.isdecimal() for text in known)
    classes = list(known) if are_names else []
    return ImageItems(base, Names([item for item, _ in items]), labels, classes, preprocessing)


def _of_folder(folder: Path) -> Iterator[tuple[str, str]]:
    suffixes = Image.registered_extensions()
    # Folders that are links are followed, as torchvision's ImageFolder does.
    for where, folders, files in os.walk(folder, onerror=_cannot_be_listed, followlinks=True):
        # In the order of names on every machine, and never what is hidden.
        folders[:] = sorted(
            name for name in folders if name[0] != "." and not _leads_back(Path(where), name)
        )
        for name in sorted(files):
            path = Path(where, name)
            if name[0] != "." and (path.suffix.lower() in suffixes or is_dicom(path)):
                relative = path.relative_to(folder)
                label = relative.parts[0] if len(relative.parts) > 1 else ""
                yield relative.as_posix(), printable(label)


def _cannot_be_listed(error: OSError) -> None:
    """Otherwise its images would be missing without a word."""
    raise UserError(
        f"The folder {printable(error.filename)} in --data cannot be listed: {error.strerror}."
    ) from error


def _leads_back(where: Path, name: str) -> bool:
    """Whether a folder is a link to one that it is in, which would never end."""
    path = where / name
    return path.is_symlink() and where.resolve().is_relative_to(path.resolve())


def _of_table(path: Path, name: str) -> list[tuple[str, str]]:
    with (
        explained(f"{name} cannot be read as a table"),
        path.open(newline="", encoding="utf-8-sig") as file,
    ):
        reader = csv.DictReader(file, skipinitialspace=True)
        if FILE not in (reader.fieldnames or ()):
            raise UserError(f"{name} must have a column file in its first line.")
        return [
            ((row[FILE] or "").strip(), (row.get(LABEL) or "").strip())
            for row in reader
            if (row[FILE] or "").strip()
        ]


def _first_twice(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        same = os.path.normpath(name)
        if same in seen:
            return name
        seen.add(same)
    return None


def _known(words: Sequence[str], model: Model, n_classes: int, name: str) -> dict[str, int]:
    """Numbers of classes by their numbers or names; without known names in their order."""
    if model.categories is not None or all(word.isdecimal() for word in words):
        return {word: class_of(word, model, n_classes, name) for word in words}
    if len(words) != max(n_classes, 2):
        raise UserError(
            f"{name} has labels of {len(words)} kinds and {model.name} has {n_classes} classes "
            "without names; give the numbers of classes as labels."
        )
    # As torchvision's ImageFolder.
    return {word: index for index, word in enumerate(words)}
