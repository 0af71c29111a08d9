"""List the images of a folder or a table, with their labels and masks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from captum_clustered._errors import printable
from captum_clustered.data._tables import read_table
from captum_clustered.data.dicom import frame_names, is_dicom, split_frame

# Headers that are read at a time: on a network drive, each is milliseconds of waiting.
READERS = 16
# In BUSI an image has one or more masks beside it.
MASK_NAME = re.compile(r"(.+)_mask(?:_\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """An image, or a frame of it in ``name``; label and mask are empty if there are none."""

    name: str
    file: str
    label: str = ""
    mask: str = ""


def list_folder(folder: Path, recursive: bool) -> list[Item]:
    """List the images of a folder in the order of their names, labeled by its subfolders."""
    items = []
    files = _image_files(folder, recursive)
    stems = {_stem(file) for file in files}
    # Masks may lie beside their images.
    files = [file for file in files if _masked_image(file) not in stems]
    for file, names in zip(files, _frames(folder, files), strict=True):
        parts = Path(file).parts
        label = printable(parts[0]) if len(parts) > 1 else ""
        items += [Item(name, file, label) for name in names]
    if not items:
        raise ValueError(f"{printable(folder)} has no image files.")
    return items


def list_table(path: Path, root: Path, mask_column: str | None) -> list[Item]:
    """List the images of a table in its order; none may be there twice."""
    columns = ("image",) if mask_column is None else ("image", mask_column)
    rows = [row for row in read_table(path, columns, ("label",)) if row["image"]]
    frames = _frames(root, [row["image"] for row in rows])
    items = [
        Item(name, row["image"], row["label"], row[mask_column] if mask_column else "")
        for row, names in zip(rows, frames, strict=True)
        for name in names
    ]
    if not items:
        raise ValueError(f"{printable(path)} has no image files.")
    seen: set[str] = set()
    for item in items:
        # A file may have two names, and may be listed beside a frame of it.
        same = os.path.normpath(item.name)
        if same in seen:
            raise ValueError(f"{printable(path)} has {item.name} in two lines.")
        seen.add(same)
    return items


def _frames(folder: Path, files: Sequence[str]) -> list[list[str]]:
    """Return the frames of each file."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(frame_names, (folder / file for file in files), files))


def list_masks(folder: Path, recursive: bool = False) -> dict[str, list[Path]]:
    """List the masks of a folder by the images' names without suffix: ``x``, ``folder/x``."""
    if not folder.exists():
        raise FileNotFoundError(f"There is no folder {printable(folder)}.")
    if not folder.is_dir():
        raise ValueError(f"{printable(folder)} is not a folder.")
    found: dict[str, list[Path]] = {}
    for file in _image_files(folder, recursive):
        found.setdefault(_masked_image(file) or _stem(file), []).append(folder / file)
    if not found:
        raise ValueError(f"{printable(folder)} has no image files.")
    return found


def _masked_image(file: str) -> str:
    """Return ``x`` for ``x_mask.png`` or ``x_mask_1.png``, as BUSI names its masks, else ""."""
    found = MASK_NAME.fullmatch(_stem(file))
    return found[1] if found else ""


def _stem(file: str) -> str:
    return PurePosixPath(file).with_suffix("").as_posix()


def mask_stem(name: Path) -> str:
    """Return the name of an item's mask without suffix; of ``clip.dcm#3``, ``clip-frame3``."""
    file, frame = split_frame(name)
    # The suffix of a dotted identifier is a part of it.
    stem = file.name if file.suffix[1:].isdecimal() else file.stem
    return stem if frame is None else f"{stem}-frame{frame}"


def _image_files(folder: Path, recursive: bool) -> list[str]:
    suffixes = Image.registered_extensions()

    def is_image(path: Path) -> bool:
        return path.suffix.lower() in suffixes or is_dicom(path)

    paths = list(_files(folder, recursive))
    with ThreadPoolExecutor(READERS) as pool:
        are_images = pool.map(is_image, paths)
    return [
        path.relative_to(folder).as_posix()
        for path, is_one in zip(paths, are_images, strict=True)
        if is_one
    ]


def _files(folder: Path, recursive: bool) -> Iterator[Path]:
    # Folders that are links are followed, as torchvision's ImageFolder does.
    for where, folders, files in os.walk(folder, onerror=_cannot_be_listed, followlinks=True):
        # In the order of names on every machine, and never what is hidden.
        folders[:] = sorted(
            name
            for name in folders
            if recursive and name[0] != "." and not _leads_back(Path(where), name)
        )
        yield from (Path(where, name) for name in sorted(files) if name[0] != ".")


def _cannot_be_listed(error: OSError) -> None:
    # Otherwise its images would be missing without a word.
    raise OSError(
        f"The folder {printable(error.filename)} cannot be listed: {error.strerror}."
    ) from error


def _leads_back(where: Path, name: str) -> bool:
    """Return whether a folder is a link to one that it is in, which would never end."""
    path = where / name
    return path.is_symlink() and where.resolve().is_relative_to(path.resolve())
