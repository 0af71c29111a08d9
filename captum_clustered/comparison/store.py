"""Finished batches on disk, so that a comparison can go on where it stopped."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SETTINGS = "settings.json"


@dataclass
class BatchResult:
    """
    What one batch came to: plain values only, which JSON gives back as they were.

    Attributes:

        fingerprint (str): A hash of the batch.
        images (list): For each image its index, label, prediction and target.
        values (dict): Method -> metric -> one value for each image, None where it failed.
        costs (dict): Method -> seconds, rows and bytes of its maps and the images' number.
        metric_seconds (dict): Method -> metric -> seconds.
        curves (dict): Method -> curve -> number of images and the sum of their curves.
        failures (list): Image, method, metric, error and message of what went wrong.
        gallery (list): Pictures of the first images, see :mod:`gallery`.
    """

    fingerprint: str = ""
    images: list[dict[str, int | None]] = field(default_factory=list)
    values: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    costs: dict[str, dict[str, float]] = field(default_factory=dict)
    metric_seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    curves: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    gallery: list[dict[str, Any]] = field(default_factory=list)


class Store:
    """
    A folder with the settings of a comparison and one file for each finished batch.

    Files appear whole or not at all, whatever happens to the process or the machine.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: dict[str, Any]) -> None:
        """
        Args:

            folder (str or PathLike): Made if it is not there.
            settings (dict): All that must be the same for its batches to be of use.

        Raises:

            ValueError: If the folder is of a comparison with other settings; the message
                        names those that differ.
        """
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / SETTINGS
        # As JSON gives them back.
        settings = json.loads(json.dumps(settings))
        if path.exists():
            _check_same(json.loads(path.read_text(encoding="utf-8")), settings)
        else:
            self._write(path, settings)

    def load(self, index: int, fingerprint: str) -> BatchResult | None:
        """
        A finished batch, or None.

        Raises:

            ValueError: If it was of other images.
        """
        path = self._path(index)
        if not path.exists():
            return None
        result = BatchResult(**json.loads(path.read_text(encoding="utf-8")))
        if result.fingerprint != fingerprint:
            raise ValueError(
                f"save_to has results of other data: batch {index} differs. A loader must give "
                "the same batches in the same order (shuffle=False, no random augmentation); for "
                "other data choose another folder."
            )
        return result

    def save(self, index: int, result: BatchResult) -> None:
        """Stores a finished batch."""
        self._write(self._path(index), asdict(result))

    def _path(self, index: int) -> Path:
        return self.folder / f"batch-{index:06d}.json"

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        temporary = path.with_name(path.name + ".part")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_same(stored: dict[str, Any], given: dict[str, Any]) -> None:
    names = [
        name
        for name in dict.fromkeys([*given, *stored])
        if stored.get(name, "nothing") != given.get(name, "nothing")
    ]
    if names:
        differences = "; ".join(
            f"{name} was {stored.get(name, 'nothing')} and is {given.get(name, 'nothing')}"
            for name in names
        )
        raise ValueError(
            f"save_to has results of another comparison: {differences}. Choose another folder, or "
            "the same settings to go on."
        )
