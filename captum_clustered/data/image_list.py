"""Images of a folder or a table, read when they are needed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from captum_clustered._errors import ImageError, explained, printable
from captum_clustered.data._labels import class_indices, read_labels
from captum_clustered.data._listing import Item, list_folder, list_masks, list_table, mask_stem
from captum_clustered.data.images import read_image
from captum_clustered.data.masks import read_mask
from captum_clustered.data.preprocessing import Preprocessing

NO_LABEL = -1


class ImageList(Dataset[tuple[Any, ...]]):
    r"""
    The images of a folder or a table, read when they are needed.

    An item is (image, label), or (image, label, mask) with masks. Each frame of a DICOM file
    with several frames is an item, named ``file.dcm#1``.
    :func:`explain_dataset <captum_clustered.dataset_run.explain_dataset>` takes it as it is, and
    :func:`compare <captum_clustered.comparison.compare>` in :class:`ImageBatches`.

    Args:

        data (str or Path): A folder: its images, in the order of their names, without masks
                    beside them. An image in a folder in it has the name of that folder as its
                    label. Or a CSV file with
                    the column ``image`` or ``file`` and, optionally, ``label``.
        root (str or Path, optional): The folder that the table's files are relative to.
                    Default: None (the table's folder)
        transform (Callable, optional): From a PIL image in RGB to the network's input (C, H, W),
                    such as a :class:`Preprocessing`.
                    Default: None (items have PIL images)
        classes (sequence of str, optional): The names of the network's classes, in the order
                    of its outputs. Labels may be names or numbers.
                    Default: None (a guess, with a warning: the names in the data are sorted)
        n_classes (int, optional): The number of the network's classes.
                    Default: None (that of classes, or any)
        labels (str or Path, optional): A CSV file with the columns ``image`` or ``file``, and
                    ``label``, for the images of a folder. Files are matched by name.
                    Default: None (the folders' names, or the table's column)
        masks (str or Path, optional): For a folder, the folder of the masks, which have the
                    names of their images but for the suffix. Masks named ``x_mask``,
                    ``x_mask_1``, ... of the image ``x`` are united, and may lie beside it. For
                    a table, the name of the column of the masks. transform must be None or a
                    :class:`Preprocessing`, which also resizes and crops the masks.
                    Default: None (no masks)
        recursive (bool, optional): Whether the folders in a folder are read, too.
                    Default: True

    Attributes:

        root (Path): The folder that names are relative to.
        names (list of str): The items' names. Bytes that are no text are written ``\\xff``.
        has_masks (bool): Whether items have masks.
        classes (list of str): The names of the labels 0, 1, ...; empty if they are not known.

    Raises:

        FileNotFoundError: If data, labels or masks do not exist.
        ValueError: If there are no images, a table cannot be read or names an item twice, or a
                    label is not one of the classes.

    Examples::

        >>> images = ImageList("scans", transform=make_preprocessing(size=224))
        >>> run = explain_dataset(cam, images, "out", names=images.names)
    """

    def __init__(
        self,
        data: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        *,
        transform: Callable[[Image.Image], Tensor] | None = None,
        classes: Sequence[str] | None = None,
        n_classes: int | None = None,
        labels: str | os.PathLike[str] | None = None,
        masks: str | os.PathLike[str] | None = None,
        recursive: bool = True,
    ) -> None:
        data = Path(data)
        if not data.exists():
            raise FileNotFoundError(f"There is no folder or table {printable(data)}.")
        is_folder = data.is_dir()
        if is_folder and root is not None:
            raise ValueError(f"root is for a table of files; {printable(data)} is a folder.")
        if not is_folder and labels is not None:
            raise ValueError(f"labels is for a folder; {printable(data)} is a table with its own.")
        if masks is not None and not (transform is None or isinstance(transform, Preprocessing)):
            raise ValueError(
                "masks need transform=make_preprocessing(...), which also moves the masks; got "
                f"transform={transform!r}."
            )
        self.transform = transform
        self.root = data if is_folder else data.parent if root is None else Path(root)
        column = None if masks is None else os.fspath(masks)
        items = list_folder(data, recursive) if is_folder else list_table(data, self.root, column)
        self._items = items
        encoded = (os.fsencode(item.name) for item in items)
        self.names = [name.decode("utf-8", errors="backslashreplace") for name in encoded]
        self.has_masks = masks is not None
        self._mask_files = (
            None if masks is None or not is_folder else list_masks(Path(masks), recursive)
        )
        self._mask_source = printable(masks if masks is not None and is_folder else data)
        self._label_source = None if labels is None else printable(labels)
        n_classes = len(classes) if n_classes is None and classes is not None else n_classes
        if labels is not None:
            known, names = read_labels(Path(labels), classes, n_classes)
            keys = ((Path(item.name).name, Path(item.file).name) for item in items)
            numbers = [known.get(name, known.get(file, NO_LABEL)) for name, file in keys]
        else:
            numbers, names = _numbers(items, classes, n_classes, data, is_folder)
        self.classes = list(names if classes is None else classes)
        self._labels = np.array(numbers, dtype=np.int32)

    @property
    def labels(self) -> list[int | None]:
        """The label of each item; None where there is none."""
        return [None if label == NO_LABEL else label for label in self._labels.tolist()]

    def class_name(self, index: int) -> str:
        """Return the name of a class, or "class 3" if it is not known."""
        return self.classes[index] if index < len(self.classes) else f"class {index}"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Read an item; a ValueError or FileNotFoundError has the reason why that fails."""
        image = self.image(index)
        name = self.names[index]
        value: Any = image
        if self.transform is not None:
            with explained(f"{name} cannot be prepared for the network", ImageError):
                value = self.transform(image)
        label = int(self._labels[index])
        if label == NO_LABEL and self._label_source is not None:
            raise ValueError(f"{self._label_source} has no line for {name}.")
        parts = (value, None if label == NO_LABEL else label)
        if not self.has_masks:
            return parts
        mask = self.mask(index, image.size)
        if isinstance(self.transform, Preprocessing):
            mask = self.transform.mask(mask)
        return (*parts, mask[None])

    def image(self, index: int) -> Image.Image:
        """Read the image of an item, as :func:`read_image` or the preprocessing does."""
        read = self.transform.read if isinstance(self.transform, Preprocessing) else read_image
        return read(self.root / self._items[index].name)

    def mask(self, index: int, size: tuple[int, int]) -> Tensor:
        """Read the mask of an item whose image has this width and height, (height, width)."""
        return torch.stack([read_mask(file, size) for file in self._files_of_mask(index)]).any(0)

    def _files_of_mask(self, index: int) -> list[Path]:
        item = self._items[index]
        if self._mask_files is None:
            if not item.mask:
                raise ValueError(f"{self._mask_source} names no mask for {self.names[index]}.")
            return [self.root / item.mask]
        stem = mask_stem(self.root / item.name)
        names = (PurePath(item.name).with_name(stem).as_posix(), stem)
        files = next((self._mask_files[name] for name in names if name in self._mask_files), [])
        image = self.root / item.file
        # Masks may lie beside their images.
        files = [file for file in files if file.stem != image.stem or not file.samefile(image)]
        if len({file.stem for file in files}) != max(len(files), 1):
            found = ", ".join(printable(file.name) for file in files) or "none"
            raise ValueError(
                f"{self._mask_source} must have one mask with the name {printable(stem)}; it has "
                f"{found}."
            )
        return files


def _numbers(
    items: Sequence[Item],
    classes: Sequence[str] | None,
    n_classes: int | None,
    data: Path,
    is_folder: bool,
) -> tuple[list[int], list[str]]:
    """Return the label of each item, and the names of the labels if only the data have them."""
    words = sorted({item.label for item in items} - {""})
    try:
        known = class_indices(words, classes, n_classes, printable(data))
    except ValueError:
        if not is_folder:
            raise
        # Folders may be patients or years: then there are no labels.
        names = [name.casefold() for name in classes or ()]
        known = {word: names.index(word.casefold()) for word in words if word.casefold() in names}
        others = [word for word in words if word not in known]
        if known:
            warnings.warn(
                f"{printable(data)} has folders that are no classes, {', '.join(others)}; their "
                "images have no labels.",
                stacklevel=4,
            )
    names = [] if all(word.isdecimal() for word in known) else list(known)
    return [known.get(item.label, NO_LABEL) for item in items], names
