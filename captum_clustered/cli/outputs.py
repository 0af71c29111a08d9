"""Where results are written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from captum_clustered._errors import UserError, one_line, printable
from captum_clustered._storage.layout import LEFT_OUT
from captum_clustered.data.dicom import split_frame

__all__ = ["output_names", "prepare_folder", "save_left_out"]


def prepare_folder(folder: Path) -> None:
    """
    Makes the folder, so that a long computation cannot be in vain.

    Raises:

        UserError: If it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder --out {printable(folder)} cannot be made: "
            f"{error.strerror or one_line(error)}."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"The folder --out {printable(folder)} cannot be written to.")


def output_names(images: Iterable[Path]) -> list[str]:
    """
    A name for each image's files: its stem, with the number of the frame if it is one, and
    numbered where that is taken.
    """
    taken: set[str] = set()
    names = []
    for image in images:
        file, frame = split_frame(image)
        stem = file.stem if frame is None else f"{file.stem}-frame{frame}"
        name, n = stem, 1
        # Some file systems do not tell cases apart.
        while name.casefold() in taken:
            n += 1
            name = f"{stem}-{n}"
        taken.add(name.casefold())
        names.append(name)
    return names


def save_left_out(folder: Path, failures: Sequence[tuple[str, str]]) -> None:
    """
    Writes which images are missing, and why.

    Raises:

        OSError: If it cannot be written.
    """
    path = folder / LEFT_OUT
    if failures:
        path.write_text(json.dumps(failures), encoding="utf-8")
    else:
        # Of an earlier run.
        path.unlink(missing_ok=True)
