"""Where the notebook's images and network come from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from study.checkpoints import FILES
from study.phantoms import write_phantoms

DATA = "CAPTUM_CLUSTERED_DATA"
REPOSITORY = Path(__file__).parents[2]
# Patients of the made-up data set.
N_TRAIN, N_VAL = 60, 12


@dataclass(frozen=True)
class Source:
    """
    Attributes:

        root (Path): Data that ``BUSBRA`` reads.
        models (Path or None): Folder of trained networks, None if there is none.
        is_real (bool): Whether they are images of patients.
    """

    root: Path
    models: Path | None
    is_real: bool


def find_source(scratch: Path) -> Source:
    """
    BUS-BRA where it is, or else made-up images.

    It is looked for as ``busbra`` in the folder that the environment variable
    CAPTUM_CLUSTERED_DATA names, or else in ``../shared/data`` beside the repository; trained
    networks in the folder ``models`` beside that one.

    Args:

        scratch (Path): A folder that made-up images may be written to.

    Returns:
        Source: What was found.
    """
    data = Path(os.environ.get(DATA) or REPOSITORY.parent / "shared" / "data")
    root, models = data / "busbra", data.parent / "models"
    if not root.is_dir():
        return Source(write_phantoms(scratch, N_TRAIN, N_VAL), None, is_real=False)
    there = all((models / file).is_file() for file in FILES.values())
    return Source(root, models if there else None, is_real=True)
