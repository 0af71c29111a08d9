"""What the engines of a run have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from captum_clustered import ClusteredLayerCAM
from captum_clustered.dataset_run.explaining import LABEL, Explainer, Settings
from captum_clustered.dataset_run.loading import Batch, BatchReader
from captum_clustered.dataset_run.store import Manifest, Store


@dataclass(frozen=True)
class Job:
    """
    All that a process needs to explain chunks; it can be pickled.

    Attributes:

        cam (ClusteredLayerCAM): The method.
        settings (Settings): How each image is explained.
        dataset (Dataset): Where images come from.
        names (sequence of str): The items' names.
        manifest (Manifest): Of the run.
        folder (Path): Of the run.
    """

    cam: ClusteredLayerCAM
    settings: Settings
    dataset: Any
    names: Sequence[str]
    manifest: Manifest
    folder: Path

    @property
    def reader(self) -> BatchReader:
        """Reads its batches."""
        shape = tuple(self.manifest.input_shape)
        return BatchReader(self.dataset, shape, self.settings.target == LABEL)

    def batches(self, chunks: Iterable[int]) -> list[range]:
        """The batches of some chunks."""
        return [batch for chunk in chunks for batch in self.manifest.batches_of(chunk)]

    def explain_chunks(
        self,
        chunks: Iterable[int],
        batches: Iterator[Batch],
        device: torch.device,
        advance: Callable[[int], None],
    ) -> None:
        """
        Explains chunks and stores each as soon as it is whole.

        Args:

            chunks (iterable of int): Their numbers.
            batches (iterator of Batch): All their batches, in order.
            device (torch.device): Where the model is.
            advance (Callable): Called with the number of items of each batch.
        """
        explainer, store = Explainer(self.cam, self.settings, device), Store(self.folder)
        for chunk in chunks:
            rows: list[dict[str, Any]] = []
            for _ in self.manifest.batches_of(chunk):
                batch = next(batches)
                rows += explainer.rows(batch, [self.names[index] for index in batch.items])
                advance(len(batch.items))
            store.write(chunk, rows, self.manifest)


class Engine(Protocol):
    """What computes the chunks that are missing."""

    def device_name(self, cam: ClusteredLayerCAM) -> str:
        """
        What it computes on, for the manifest.

        Raises:

            ValueError: If it cannot compute where the method's model is.
        """
        ...

    def run(self, job: Job, chunks: Sequence[int], advance: Callable[[int], None]) -> None:
        """
        Args:

            job (Job): Of the run.
            chunks (sequence of int): What is missing.
            advance (Callable): To be called with numbers of items that are done.
        """
        ...


@contextmanager
def threads(number: int) -> Iterator[None]:
    """A fixed number of torch's threads, on which the last bits of sums depend."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
