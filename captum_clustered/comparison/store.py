"""Finished batches on disk, from which an interrupted comparison resumes."""

from __future__ import annotations

import io
import json
import math
import os
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from captum_clustered._argument_checks import check_type
from captum_clustered._storage.atomic import (
    read_json_object,
    remove_unfinished,
    write_json,
    write_whole,
)
from captum_clustered._storage.layout import FINISHED, SETTINGS
from captum_clustered.comparison.pictures import Pictures

PREFIX = "batch-"
# Settings that distinguish functions without a name.
FIRST_IMAGE = "first image"
OUTPUTS = "outputs of forward_func and layer on the first image"
# Another number of threads or processor may change the last bits of outputs.
SLACK = 1e-3
FAILURE_COLUMNS = ["image", "method", "metric", "error", "message"]


@dataclass
class BatchResult:
    """The results of one batch: plain values, which JSON returns unchanged."""

    fingerprint: str = ""
    n_images: int = 0  # including failed ones
    # Of each image its index, label, prediction with its probability, and target.
    images: list[dict[str, Any]] = field(default_factory=list)
    # By method and metric one for each image, None where it failed.
    values: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    # By method those of its maps, and their number of images.
    costs: dict[str, dict[str, float]] = field(default_factory=dict)
    metric_seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    # By method and name the number of images and the sum of their curves.
    curves: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)  # see FAILURE_COLUMNS

    def numbers(self) -> list[int]:
        """Return the indices of the compared images in the data."""
        return [image["image"] or 0 for image in self.images]

    def fail(
        self, method: str, metric: str, image: int | None, error: Exception, where: str = ""
    ) -> None:
        """Add a failure, see :class:`Comparison`."""
        kind, message = type(error).__name__, f"{where}{error}"
        values = (image, method, metric, kind, message)
        self.failures.append(dict(zip(FAILURE_COLUMNS, values, strict=True)))


class ComparisonStore:
    """
    A folder with the settings of a comparison and two files for each finished batch.

    The files hold results (.json) and pictures (.npz). They appear whole or not at all,
    even if the process or the machine dies.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: dict[str, Any]) -> None:
        """
        Open or create the folder of a comparison.

        The settings must equal the stored ones; lists of numbers need only be nearly equal.
        """
        check_type("save_to", folder, (str, os.PathLike), "the path of a folder")
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"save_to={str(folder)!r} must be a folder; it is a file.")
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(self.folder, PREFIX)
        path = self.folder / SETTINGS
        # As JSON gives them back.
        settings = json.loads(json.dumps(settings))
        if path.exists():
            stored = read_json_object(path)
            if stored is None:
                raise ValueError(
                    f"{path} is damaged: it does not hold the settings of a "
                    "comparison. Choose another folder, or delete this one."
                )
            _check_same(stored, settings, self.folder)
        else:
            write_json(path, settings)
        (self.folder / FINISHED).unlink(missing_ok=True)

    def load(
        self, index: int, fingerprint: str, n_images: int, *, with_pictures: bool
    ) -> tuple[BatchResult, Pictures | None] | None:
        """Return a finished batch, or None if it must be computed."""
        path = batch_path(self.folder, index)
        if not path.exists():
            return None
        result, pictures = read_batch(path), None
        if result is not None:
            path = pictures_path(self.folder, index)
            try:
                pictures = Pictures.read(path) if with_pictures else None
                result = result if is_zipfile(path) else None
            except (OSError, ValueError):
                result = None
        if result is None:
            warnings.warn(
                f"{path} is missing or damaged; the batch is computed again.", stacklevel=2
            )
            return None
        if result.n_images != n_images:
            raise ValueError(
                f"{self.folder} has results of batches of another size: batch {index} had "
                f"{result.n_images} images and has {n_images}. Take the same batch size to go on, "
                "or choose another folder."
            )
        if result.fingerprint != fingerprint:
            raise ValueError(
                f"{self.folder} has results of other data: batch {index} differs. A loader must "
                "give the same batches in the same order (shuffle=False, no random augmentation); "
                "for other data choose another folder."
            )
        return result, pictures

    def save(self, index: int, result: BatchResult, pictures: Pictures) -> None:
        """Store a finished batch."""
        # Before the results, which mark the batch as finished.
        file = io.BytesIO()
        pictures.write(file)
        write_whole(pictures_path(self.folder, index), file.getvalue())
        write_json(batch_path(self.folder, index), asdict(result))

    def finish(self, reference: str | None, n_batches: int, failures: list[dict[str, Any]]) -> None:
        """Store the reference, the number of batches and the failures outside of batches."""
        content = {"reference": reference, "n_batches": n_batches, "failures": failures}
        write_json(self.folder / FINISHED, content)


def batch_path(folder: Path, index: int) -> Path:
    """Return the path of a batch's results."""
    return folder / f"{PREFIX}{index:06d}.json"


def pictures_path(folder: Path, index: int) -> Path:
    """Return the path of a batch's pictures."""
    return batch_path(folder, index).with_suffix(".npz")


def read_batch(path: Path) -> BatchResult | None:
    """Return a batch's results, or None if the file holds anything else."""
    content = read_json_object(path)
    if content is None:
        return None
    kinds = {name: type(value) for name, value in asdict(BatchResult()).items()}
    if {name: type(value) for name, value in content.items()} != kinds:
        return None
    return BatchResult(**content)


def _check_same(stored: dict[str, Any], given: dict[str, Any], folder: Path) -> None:
    # Outputs for another image cannot be compared; different data show in the batches.
    is_other_image = stored.get(FIRST_IMAGE) != given.get(FIRST_IMAGE)
    ignored = {FIRST_IMAGE, OUTPUTS} if is_other_image else set()
    pairs = {
        name: (stored.get(name, "nothing"), given.get(name, "nothing"))
        for name in dict.fromkeys([*given, *stored])
        if name not in ignored
    }
    found = [f"{name} {_difference(*both)}" for name, both in pairs.items() if not _is_same(*both)]
    if found:
        raise ValueError(
            f"{folder} has results of another comparison: {'; '.join(found)}. Choose another "
            "folder, or use the same settings to resume."
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
    # Dictionaries that differ only in their order are equal.
    return "are others, " + ", ".join(
        f"{what} {', '.join(map(repr, which))}" for what, which in parts.items() if which
    )
