"""A stored comparison, read without its model and data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captum_clustered._storage.atomic import read_json_object
from captum_clustered._storage.layout import FINISHED, SETTINGS
from captum_clustered.comparison.pictures import N_GALLERY, Pictures
from captum_clustered.comparison.result import Comparison
from captum_clustered.comparison.store import BatchResult, batch_path, pictures_path, read_batch

REFERENCE = "LayerGradCam"
_NEEDED = (
    *("forward_func", "layer", "methods", "metrics"),
    *("score", "target", "attribute_to_layer_input", "seed"),
)


@dataclass(frozen=True)
class StoredComparison:
    """
    The content of a folder that ``compare`` was given as ``save_to``.

    ``results`` are those of the finished batches; ``is_finished`` tells whether there are more.
    """

    folder: Path
    settings: dict[str, Any]
    results: list[BatchResult]
    reference: str | None
    is_finished: bool

    @classmethod
    def read(cls, folder: Path) -> StoredComparison:
        """Read a folder; raise ValueError if a file is missing, damaged or of another version."""
        settings = read_json_object(folder / SETTINGS)
        if settings is None or not set(settings).issuperset(_NEEDED):
            raise ValueError(f"{folder / SETTINGS} is damaged or holds no settings of compare.")
        finished = _finished(folder)
        results = list(_results(folder, None if finished is None else finished["n_batches"]))
        if finished is None:
            # The reference of the call is stored only at the end.
            reference = REFERENCE if REFERENCE in settings["methods"] else None
        else:
            reference = finished["reference"]
            results.append(BatchResult(failures=finished["failures"]))
        return cls(folder, settings, results, reference, finished is not None)

    def comparison(self) -> Comparison:
        """Return the result, as :func:`captum_clustered.comparison.compare` does."""
        gallery = []
        for index, result in enumerate(self.results):
            numbers = result.numbers()
            if numbers and numbers[0] < N_GALLERY:
                pictures = Pictures.read(pictures_path(self.folder, index))
                gallery += pictures.gallery(result.images)
        return Comparison.from_batches(
            self.results,
            methods=list(self.settings["methods"]),
            directions=self.settings["metrics"],
            reference=self.reference,
            seed=self.settings["seed"],
            gallery=gallery,
        )

    def batches(self) -> Iterator[tuple[BatchResult, Pictures]]:
        """Yield each batch with its pictures, which are read one batch at a time."""
        for index, result in enumerate(self.results):
            if result.n_images:
                yield result, Pictures.read(pictures_path(self.folder, index))


def _finished(folder: Path) -> dict[str, Any] | None:
    path = folder / FINISHED
    if not path.exists():
        return None
    found = read_json_object(path)
    if found is None or set(found) != {"reference", "n_batches", "failures"}:
        raise ValueError(f"{path} is damaged. {_AGAIN}")
    return found


def _results(folder: Path, n_batches: int | None) -> Iterator[BatchResult]:
    index = 0
    while index != n_batches:
        path, pictures = batch_path(folder, index), pictures_path(folder, index)
        if n_batches is None and not path.exists():
            return
        result = read_batch(path) if path.exists() else None
        if result is None:
            raise ValueError(f"{path} is missing, damaged or no result of a batch. {_AGAIN}")
        if not pictures.exists():
            raise ValueError(
                f"{pictures} with the pictures of a batch is missing; runs of older versions do "
                f"not have them. {_AGAIN}"
            )
        yield result
        index += 1


_AGAIN = "Start compare again with the same options: it computes what is missing."
