"""Find the images and the network of the notebook."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from study.checkpoints import FILES, file_name
from study.phantoms import write_phantoms

DATA = "CAPTUM_CLUSTERED_DATA"
REPOSITORY = Path(__file__).parents[2]
# Number of patients in the synthetic data set.
N_TRAIN, N_VAL = 60, 12


@dataclass(frozen=True)
class Source:
    """
    Attributes:

        root (Path): Folder that ``BUSBRA`` reads.
        models (Path or None): Folder of trained networks, None if there is none.
        is_real (bool): Whether the images show patients.
    """

    root: Path
    models: Path | None
    is_real: bool


def find_source(scratch: Path) -> Source:
    """
    Find BUS-BRA, or else write synthetic images.

    BUS-BRA is expected as ``busbra`` in the folder named by the environment variable
    CAPTUM_CLUSTERED_DATA or, by default, in ``../shared/data`` beside the repository. Trained
    networks are expected in the folder ``models`` beside that folder.

    Args:

        scratch (Path): Folder for the synthetic images.

    Returns:
        Source: The images and the folder of networks.
    """
    data = Path(os.environ.get(DATA) or REPOSITORY.parent / "shared" / "data")
    root, models = data / "busbra", data.parent / "models"
    if not root.is_dir():
        return Source(write_phantoms(scratch, N_TRAIN, N_VAL), None, is_real=False)
    there = all((models / file_name(head)).is_file() for head in FILES)
    return Source(root, models if there else None, is_real=True)
