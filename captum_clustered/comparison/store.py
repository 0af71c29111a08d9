"""Finished batches on disk, so that a comparison can go on where it stopped."""

from __future__ import annotations

import io
import json
import math
import os
import warnings
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from captum_clustered._storage.atomic import remove_unfinished, write_whole
from captum_clustered.comparison.pictures import Pictures

SETTINGS = "settings.json"
# What is known only at the end; not there while a comparison runs.
FINISHED = "finished.json"
PREFIX = "batch-"
# Settings that tell functions without a name from each other.
FIRST_IMAGE = "first image"
OUTPUTS = "outputs of forward_func and layer on the first image"
# Another number of threads, or another processor, may change the last bits of outputs.
SLACK = 1e-3


@dataclass
class BatchResult:
    """
    What one batch came to: plain values only, which JSON gives back as they were.

    Attributes:

        fingerprint (str): A hash of the batch.
        n_images (int): The number of its images, failed ones among them.
        images (list): For each image its index, label, prediction and target.
        values (dict): Method -> metric -> one value for each image, None where it failed.
        costs (dict): Method -> seconds, rows and bytes of its maps and the images' number.
        metric_seconds (dict): Method -> metric -> seconds.
        curves (dict): Method -> curve -> number of images and the sum of their curves.
        failures (list): Image, method, metric, error and message of what went wrong.
        gallery (list): Pictures of the first images, see :mod:`gallery`.
    """

    fingerprint: str = ""
    n_images: int = 0
    images: list[dict[str, int | None]] = field(default_factory=list)
    values: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    costs: dict[str, dict[str, float]] = field(default_factory=dict)
    metric_seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    curves: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    gallery: list[dict[str, Any]] = field(default_factory=list)


class Store:
    """
    A folder with the settings of a comparison and two files for each finished batch: results
    (.json) and, for a report, its pictures (.npz).

    Files appear whole or not at all, whatever happens to the process or the machine.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: dict[str, Any]) -> None:
        """
        Args:

            folder (str or PathLike): Made if it is not there.
            settings (dict): All that must be the same for its batches to be of use. A list
                        of numbers need only be nearly the same.

        Raises:

            TypeError: If the folder is no path.
            ValueError: If the folder is a file or is of a comparison with other settings;
                        the message names those that differ. If its settings cannot be
                        read.
        """
        if not isinstance(folder, (str, os.PathLike)):
            raise TypeError(f"save_to must be the path of a folder; got {type(folder).__name__}.")
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"save_to={str(folder)!r} must be a folder; it is a file.")
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(self.folder, PREFIX)
        path = self.folder / SETTINGS
        # As JSON gives them back.
        settings = json.loads(json.dumps(settings))
        if path.exists():
            stored = read_object(path)
            if stored is None:
                raise ValueError(
                    f"save_to has {path}, which is damaged: it does not hold the settings of a "
                    "comparison. Choose another folder, or delete this one, for nobody knows what "
                    "its results are of."
                )
            _check_same(stored, settings)
        else:
            _write_json(path, settings)
        (self.folder / FINISHED).unlink(missing_ok=True)

    def load(self, index: int, fingerprint: str, n_images: int) -> BatchResult | None:
        """
        A finished batch, or None.

        Args:

            index (int): Its number.
            fingerprint (str): Of the batch as it is now.
            n_images (int): The number of its images now.

        Raises:

            ValueError: If it was of other images.

        Warns:

            UserWarning: If the file is there, but is no batch's.
        """
        path = batch_path(self.folder, index)
        if not path.exists():
            return None
        result = read_batch(path)
        if result is None:
            # It was not we who left it like this: our files appear whole.
            warnings.warn(
                f"{path} is damaged or is no result of a batch; the batch is computed again.",
                stacklevel=2,
            )
            return None
        pictures = pictures_path(self.folder, index)
        if not pictures.exists() or not is_zipfile(pictures):
            warnings.warn(
                f"{pictures} is missing or damaged; the batch is computed again.", stacklevel=2
            )
            return None
        if result.n_images != n_images:
            raise ValueError(
                f"save_to has results of batches of another size: batch {index} had "
                f"{result.n_images} images and has {n_images}. Take the same batch size to go on, "
                "or choose another folder."
            )
        if result.fingerprint != fingerprint:
            raise ValueError(
                f"save_to has results of other data: batch {index} differs. A loader must give "
                "the same batches in the same order (shuffle=False, no random augmentation); for "
                "other data choose another folder."
            )
        return result

    def save(self, index: int, result: BatchResult, pictures: Pictures) -> None:
        """Stores a finished batch."""
        # First, for where there are results, the batch is taken for finished.
        file = io.BytesIO()
        pictures.write(file)
        write_whole(pictures_path(self.folder, index), file.getvalue())
        _write_json(batch_path(self.folder, index), asdict(result))

    def finish(self, reference: str | None, n_batches: int, failures: list[dict[str, Any]]) -> None:
        """
        Stores what is known at the end.

        Args:

            reference (str or None): The method that others are compared with.
            n_batches (int): The number of batches.
            failures (list): Those that belong to no batch.
        """
        content = {"reference": reference, "n_batches": n_batches, "failures": failures}
        _write_json(self.folder / FINISHED, content)


def batch_path(folder: Path, index: int) -> Path:
    """The file of a batch's results."""
    return folder / f"{PREFIX}{index:06d}.json"


def pictures_path(folder: Path, index: int) -> Path:
    """The file of a batch's pictures."""
    return batch_path(folder, index).with_suffix(".npz")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_whole(path, json.dumps(content).encode())


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object, such as the settings; None if the file holds anything else."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return settings if isinstance(settings, dict) else None


def read_batch(path: Path) -> BatchResult | None:
    """A batch's results; None if the file holds anything else."""
    content = read_object(path)
    if content is None:
        return None
    try:
        result = BatchResult(**content)
    except TypeError:
        return None
    kinds = asdict(BatchResult())
    if set(content) != {each.name for each in fields(BatchResult)}:
        return None
    if any(type(content[name]) is not type(kind) for name, kind in kinds.items()):
        return None
    return result


def _check_same(stored: dict[str, Any], given: dict[str, Any]) -> None:
    # Outputs for another image say nothing; that the data are others shows in the batches.
    is_other_image = stored.get(FIRST_IMAGE) != given.get(FIRST_IMAGE)
    ignored = {FIRST_IMAGE, OUTPUTS} if is_other_image else set()
    names = [
        name
        for name in dict.fromkeys([*given, *stored])
        if name not in ignored
        and not _is_same(stored.get(name, "nothing"), given.get(name, "nothing"))
    ]
    if names:
        differences = "; ".join(
            f"{name} {_difference(stored.get(name, 'nothing'), given.get(name, 'nothing'))}"
            for name in names
        )
        raise ValueError(
            f"save_to has results of another comparison: {differences}. Choose another folder, or "
            "the same settings to go on."
        )


def _is_same(first: Any, second: Any) -> bool:
    if not isinstance(first, list) or not isinstance(second, list):
        return bool(first == second)
    if len(first) != len(second):
        return False
    scale = max((abs(value) for value in second), default=0.0)
    return all(
        a == b or math.isclose(a, b, rel_tol=SLACK, abs_tol=SLACK * scale)
        for a, b in zip(first, second, strict=True)
    )


def _difference(stored: Any, given: Any) -> str:
    if isinstance(stored, list) or isinstance(given, list):
        return "are others"
    if not isinstance(stored, dict) or not isinstance(given, dict):
        return f"was {stored} and is {given}"
    parts = {
        "now without": [name for name in stored if name not in given],
        "now with": [name for name in given if name not in stored],
        "otherwise made": [n for n in given if n in stored and stored[n] != given[n]],
    }
    # The same ones in another order would have been equal.
    return "are others, " + ", ".join(
        f"{what} {', '.join(map(repr, which))}" for what, which in parts.items() if which
    )
