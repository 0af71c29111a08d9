"""The engine for one machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from captum_clustered import ClusteredLayerCAM
from captum_clustered.dataset_run.devices import device_of, name_of
from captum_clustered.dataset_run.engine import Job
from captum_clustered.dataset_run.loading import in_processes


@dataclass(frozen=True)
class LocalEngine:
    """
    Explains in this process; a DataLoader's workers read ahead.

    Args:

        num_workers (int, optional): Processes that read images; 0 reads them here.
                    Default: 0

    Raises:

        ValueError: If ``num_workers`` is no int of at least 0.

    Examples::

        >>> explain_dataset(cam, dataset, "out", engine=LocalEngine(num_workers=4))
    """

    num_workers: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.num_workers, int) or self.num_workers < 0:
            raise ValueError(f"num_workers={self.num_workers!r} must be an int of at least 0.")

    def device_name(self, cam: ClusteredLayerCAM) -> str:
        """See :class:`captum_clustered.dataset_run.engine.Engine`."""
        return name_of(device_of(cam))

    def run(self, job: Job, chunks: Sequence[int], advance: Callable[[int], None]) -> None:
        """See :class:`captum_clustered.dataset_run.engine.Engine`."""
        device = device_of(job.cam)
        batches = in_processes(
            job.reader, job.batches(chunks), self.num_workers, device.type == "cuda"
        )
        job.explain_chunks(chunks, batches, device, advance)
