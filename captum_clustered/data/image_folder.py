"""A folder of images, with masks and labels, as the batches of a comparison."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from captum_clustered._errors import UserError, close_matches, explained, printable
from captum_clustered.data.images import read_image
from captum_clustered.data.preprocessing import Preprocessing
from captum_clustered.models import Model

__all__ = ["ImageFolder", "class_of", "image_files", "mask_files", "read_labels"]

COLUMNS = ("file", "label")


def image_files(folder: Path, option: str) -> list[Path]:
    """
    The files of a folder that are images by their names, sorted; not those of its folders.

    Args:

        folder (Path): The folder.
        option (str): What it was given as.

    Raises:

        UserError: If there is no such folder or nothing in it.
    """
    name = f"{option} {printable(folder)}"
    if not folder.is_dir():
        raise UserError(f"{name} is not a folder." if folder.exists() else f"There is no {name}.")
    suffixes = Image.registered_extensions()
    with explained(f"{name} cannot be read"):
        found = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes and path.is_file() and path.name[0] != "."
        )
    if not found:
        raise UserError(f"{name} has no image files.")
    return found


def mask_files(folder: Path) -> dict[str, list[Path]]:
    """
    Masks by their stems.

    Raises:

        UserError: As :func:`image_files`.
    """
    found: dict[str, list[Path]] = {}
    for path in image_files(folder, "--masks"):
        found.setdefault(path.stem, []).append(path)
    return found


def read_labels(path: Path, model: Model, n_classes: int) -> dict[str, int]:
    """
    A CSV file with the columns file (name of an image) and label (number or name of a class).

    Args:

        path (Path): The file.
        model (Model): Whose classes they are.
        n_classes (int): Their number.

    Returns:
        dict[str, int]: Class by name of the image's file.

    Raises:

        UserError: If it cannot be read, or a label is no class; the message has the line.
    """
    name = f"--labels {printable(path)}"
    if not path.is_file():
        raise UserError(f"There is no file {name}.")
    labels: dict[str, int] = {}
    with (
        explained(f"{name} cannot be read"),
        # Spreadsheets put a mark at the beginning.
        path.open(newline="", encoding="utf-8-sig") as file,
    ):
        reader = csv.DictReader(file, skipinitialspace=True)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise UserError(
                f"{name} must have the columns file and label in its first line; it has no "
                f"{' and no '.join(missing)}."
            )
        for row in reader:
            where = f"{name}, line {reader.line_num}"
            image, text = ((row[column] or "").strip() for column in COLUMNS)
            if not image and not text:
                continue
            key, label = Path(image).name, class_of(text, model, n_classes, where)
            if labels.setdefault(key, label) != label:
                raise UserError(f"{where}: {key} has another label further up.")
    return labels


def class_of(text: str, model: Model, n_classes: int, where: str) -> int:
    """
    A class by its number or its name.

    Raises:

        UserError: If there is no such class; the message begins with ``where``.
    """
    try:
        label = int(text)
    except ValueError:
        names = [name.casefold() for name in model.categories or ()]
        found = [index for index, name in enumerate(names) if name == text.casefold()]
        if len(found) == 1:
            return found[0]
        if found:
            numbers = " and ".join(map(str, found))
            raise UserError(
                f"{where}: {text!r} is the name of classes {numbers}; give a number."
            ) from None
        hint = close_matches(text.casefold(), names) if names else " Its classes have numbers only."
        raise UserError(f"{where}: {model.name} has no class {text!r}.{hint}") from None
    if not 0 <= label < n_classes:
        raise UserError(
            f"{where}: label {label} is out of range: {model.name} has {n_classes} classes, 0 to "
            f"{n_classes - 1}."
        )
    return label


@dataclass
class ImageFolder:
    """
    Batches of images, each a tuple (inputs, labels or None[, masks]), read one at a time.

    Images that cannot be used are left out.

    Attributes:

        paths (list[Path]): The files.
        preprocessing (Preprocessing): The way into the network.
        batch_size (int): Images in each batch but the last.
        labels (dict, optional): Class by file name; an image without one is left out.
        masks (dict, optional): Masks' files by stem; an image without one is left out.
        on_image (Callable, optional): Called after each file.
        names (list[str]): File names of the images in the batches so far.
        failures (list[tuple[str, str]]): What was left out so far, and why.
    """

    paths: Sequence[Path]
    preprocessing: Preprocessing
    batch_size: int
    labels: dict[str, int] | None = None
    masks: dict[str, list[Path]] | None = None
    on_image: Callable[[], None] = lambda: None
    names: list[str] = field(default_factory=list, init=False)
    failures: list[tuple[str, str]] = field(default_factory=list, init=False)

    def __iter__(self) -> Iterator[tuple[Tensor | None, ...]]:
        self.names, self.failures = [], []
        batch: list[tuple[Tensor | None, ...]] = []
        for path in self.paths:
            try:
                batch.append(self._read(path))
                self.names.append(printable(path.name))
            except UserError as error:
                self.failures.append((printable(path.name), str(error)))
            if len(batch) == self.batch_size:
                yield _stacked(batch)
                batch = []
            self.on_image()
        if batch:
            yield _stacked(batch)

    def _read(self, path: Path) -> tuple[Tensor | None, ...]:
        image = read_image(path)
        with explained(f"{printable(path)} cannot be prepared for the network"):
            parts: list[Tensor | None] = [self.preprocessing(image)[0]]
        if self.labels is not None:
            if path.name not in self.labels:
                raise UserError(f"--labels has no line for {printable(path.name)}.")
            parts.append(torch.tensor(self.labels[path.name]))
        else:
            parts.append(None)
        if self.masks is not None:
            files = self.masks.get(path.stem, [])
            if len(files) != 1:
                found = ", ".join(printable(file.name) for file in files) or "none"
                raise UserError(
                    f"--masks must have one mask of the name {printable(path.stem)}; it has "
                    f"{found}."
                )
            parts.append(_mask_input(_read_mask(files[0], image.size), self.preprocessing))
        return tuple(parts)


def _stacked(batch: list[tuple[Tensor | None, ...]]) -> tuple[Tensor | None, ...]:
    stacked = []
    for parts in zip(*batch, strict=True):
        tensors = [part for part in parts if part is not None]
        stacked.append(torch.stack(tensors) if tensors else None)
    return tuple(stacked)


def _read_mask(path: Path, size: tuple[int, int]) -> Image.Image:
    """What is not black, as 255 in an image of mode L and of the size of its picture."""
    name = printable(path)
    with explained(f"{name} cannot be read as a mask"), Image.open(path) as file:
        file.load()
        image = ImageOps.exif_transpose(file)
        if image.mode in ("P", "PA"):
            # A palette may have its colors in any order.
            image = image.convert("RGBA")
        bands = image.getbands()
        values = np.asarray(image).reshape(image.height, image.width, -1)
        inside = (values[..., : len(bands) - (bands[-1] == "A")] != 0).any(2)
    mask = Image.fromarray(inside.astype(np.uint8) * 255)
    if mask.size == size:
        return mask
    # A mask of the same proportions, but for rounding, is the same picture at another scale.
    if abs(mask.width * size[1] - mask.height * size[0]) > max(*mask.size, *size):
        raise UserError(
            f"{name} is {mask.width} x {mask.height}, which does not lie on an image of {size[0]} "
            f"x {size[1]}."
        )
    return mask.resize(size, Image.Resampling.NEAREST)


def _mask_input(mask: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """The mask, resized and cropped as its picture, boolean, (1, H, W)."""
    size = preprocessing.size
    # Weights of torchvision resize the shorter side and crop; without them nothing is cropped.
    resize = getattr(preprocessing.transform, "resize_size", [size, size])
    resized = F.resize(mask, resize, InterpolationMode.NEAREST)
    return F.center_crop(F.pil_to_tensor(resized), [size, size]) > 0
