"""What engines share, and the engine for one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from captum_clustered._argument_checks import check_int
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.dataset_run.description import device_name, device_of
from captum_clustered.dataset_run.explaining import LABEL, BatchExplainer, RunSettings
from captum_clustered.dataset_run.loading import BatchReader, LoadedBatch, in_processes
from captum_clustered.dataset_run.store import Manifest, RunStore


@dataclass(frozen=True)
class Job:
    """All that a process needs to explain the chunks of a run. It can be pickled."""

    cam: ClusteredLayerCAM
    settings: RunSettings
    dataset: Any
    names: Sequence[object]
    manifest: Manifest
    folder: Path

    @property
    def reader(self) -> BatchReader:
        """The reader of the job's batches."""
        shape = tuple(self.manifest.input_shape)
        return BatchReader(self.dataset, shape, self.settings.target == LABEL)

    def batches(self, chunks: Iterable[int]) -> list[range]:
        """Return the items of each batch of some chunks."""
        return [batch for chunk in chunks for batch in self.manifest.batches_of(chunk)]

    def explain_chunks(
        self,
        chunks: Iterable[int],
        batches: Iterator[LoadedBatch],
        device: torch.device,
        advance: Callable[[int], None],
    ) -> None:
        """
        Explain chunks and store each one as soon as it is whole.

        ``batches`` are those of the chunks, in order; ``advance`` takes numbers of finished items.
        """
        explainer, store = BatchExplainer(self.cam, self.settings, device), RunStore(self.folder)
        for chunk in chunks:
            rows: list[dict[str, Any]] = []
            for _ in self.manifest.batches_of(chunk):
                batch = next(batches)
                rows += explainer.rows(batch, [str(self.names[index]) for index in batch.items])
                advance(len(batch.items))
            store.write(chunk, rows, self.manifest)


class Engine(Protocol):
    """What computes the missing chunks of a run."""

    def device_name(self, cam: ClusteredLayerCAM) -> str:
        """Return the device's name; raise a ValueError if the engine cannot compute there."""

    def run(self, job: Job, chunks: Sequence[int], advance: Callable[[int], None]) -> None:
        """Compute and store chunks; call ``advance`` with numbers of finished items."""


@dataclass(frozen=True)
class LocalEngine:
    """
    Explains in this process; a DataLoader's workers read images ahead.

    Args:

        num_workers (int, optional): Processes that read images; 0 reads them in this one.
                    Default: 0

    Raises:

        ValueError: If ``num_workers`` is no int of at least 0.

    Examples::

        >>> explain_dataset(cam, dataset, "out", engine=LocalEngine(num_workers=4))
    """

    num_workers: int = 0

    def __post_init__(self) -> None:
        check_int("num_workers", self.num_workers, 0)

    def device_name(self, cam: ClusteredLayerCAM) -> str:
        """See :class:`captum_clustered.dataset_run.engine.Engine`."""
        return device_name(device_of(cam))

    def run(self, job: Job, chunks: Sequence[int], advance: Callable[[int], None]) -> None:
        """See :class:`captum_clustered.dataset_run.engine.Engine`."""
        device = device_of(job.cam)
        pins = device.type == "cuda"
        batches = in_processes(job.reader, job.batches(chunks), self.num_workers, pins)
        job.explain_chunks(chunks, batches, device, advance)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Set torch's number of threads, which the last bits of sums depend on."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
