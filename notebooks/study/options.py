"""What the commands of the study share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from captum_clustered.data.registry import DATASETS
from study.data import FOLDS, StudyData


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of :class:`study.data.StudyData`."""
    parser.add_argument("--data", type=Path, required=True, help="The folder of the data set.")
    parser.add_argument("--dataset", choices=tuple(DATASETS), default="busbra")
    parser.add_argument(
        "--benign",
        nargs="+",
        metavar="LABEL",
        default=(),
        help="Labels of the class benign; of DDTI, TI-RADS categories (default: 2 3).",
    )
    parser.add_argument(
        "--malignant",
        nargs="+",
        metavar="LABEL",
        default=(),
        help="Labels of the class malignant (default of DDTI: 4c 5; other images are left out).",
    )
    parser.add_argument(
        "--crop",
        type=float,
        metavar="MARGIN",
        help="Crop to a square around the lesion with this margin, such as 0.2 of its longer side "
        "(default: whole images).",
    )
    parser.add_argument(
        "--fold",
        type=int,
        help=f"The fold that is val, 1 to {FOLDS}, of data without splits (default: 1).",
    )


def take_data(options: dict[str, Any]) -> StudyData:
    """Take the options of the data out of those of a command."""
    benign, malignant = (tuple(options.pop(name)) for name in ("benign", "malignant"))
    return StudyData(
        options.pop("data"),
        options.pop("dataset"),
        benign,
        malignant,
        options.pop("crop"),
        options.pop("fold"),
    )


@contextmanager
def errors_of(command: str) -> Iterator[None]:
    """End the command with one line if files or options are not as they should be."""
    try:
        yield
    except (OSError, ImportError, ValueError) as error:
        text = str(error)
        if "in DataLoader worker process" in text:
            # The message of a process that reads images ends with that of the error.
            text = text.rstrip().splitlines()[-1].partition(": ")[2]
        sys.exit(f"{command}: {text}")
