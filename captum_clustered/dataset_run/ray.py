"""The engine for many machines: Ray Data."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from captum_clustered._argument_checks import check_int
from captum_clustered._errors import one_line
from captum_clustered._freed_memory import keep_freed_memory
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.dataset_run.description import device_name, device_of, module_of
from captum_clustered.dataset_run.engine import Job
from captum_clustered.dataset_run.loading import in_threads

# Retries of a chunk whose worker died. A file may kill every process that reads it.
RETRIES = 5


@dataclass(frozen=True)
class RayEngine:
    """
    Explains in the workers of Ray, on this machine or on a cluster.

    Each worker is an actor of ``ray.data.Dataset.map_batches`` that holds the model. Only
    numbers of chunks travel through Ray: workers read the images and write the chunks
    themselves. So the data and the folder of the results must have the same paths on all
    machines, and the model's code must be installed there. Ray replaces a worker that dies
    and computes its chunk again; chunks appear whole, so nothing is lost or stored twice.

    On the same kind of machine, results equal those of :class:`LocalEngine` to the last bit,
    since batches and numbers of threads are the same; on other hardware up to rounding.

    Args:

        workers (int, optional): Number of actors.
                    Default: 2
        address (str, optional): The cluster's address for ``ray.init``; "auto" is the cluster
                    that this machine belongs to.
                    Default: None (the Ray that is initialized, else Ray on this machine)
        gpus_per_worker (float, optional): 0 computes on CPUs; 0.5 lets two workers share a
                    GPU.
                    Default: 0
        readers (int, optional): Threads per worker that read images ahead.
                    Default: 2

    Raises:

        ModuleNotFoundError: If Ray Data is not installed.
        ValueError: If a number is out of range.

    Examples::

        >>> engine = RayEngine(workers=16, address="auto", gpus_per_worker=1)
        >>> explain_dataset(cam, dataset, "/shared/out", engine=engine)
    """

    workers: int = 2
    address: str | None = None
    gpus_per_worker: float = 0
    readers: int = 2

    def __post_init__(self) -> None:
        if find_spec("ray") is None:
            raise ModuleNotFoundError(
                "RayEngine needs Ray Data, which is not installed: pip install "
                "captum_clustered[ray]"
            )
        check_int("workers", self.workers, 1)
        check_int("readers", self.readers, 0)
        if not self.gpus_per_worker >= 0:
            raise ValueError(f"gpus_per_worker={self.gpus_per_worker!r} must be at least 0.")

    def device_name(self, cam: ClusteredLayerCAM) -> str:
        """See :class:`captum_clustered.dataset_run.engine.Engine`."""
        if self.gpus_per_worker > 0:
            return "cuda (of workers of Ray)"
        where = device_of(cam)
        if where.type != "cpu":
            raise ValueError(
                f"gpus_per_worker=0 computes on CPUs, and the model is on {where}: give each "
                "worker a GPU or a part of one, or move the model to the CPU."
            )
        return device_name(where)

    def run(self, job: Job, chunks: Sequence[int], advance: Callable[[int], None]) -> None:
        """
        See :class:`captum_clustered.dataset_run.engine.Engine`.

        Raises:

            ValueError: If there is no Ray at ``address``, or this machine has fewer GPUs than
                        a worker takes and no address is given.
            RuntimeError: If a worker fails, or dies too often on the same chunk.
            OSError: If a worker cannot write.
        """
        import ray.data

        job = replace(job, cam=_on_cpu(job.cam), folder=job.folder.resolve())
        n_workers = min(self.workers, len(chunks))
        with _ray(self.address, n_workers * job.manifest.threads, self.gpus_per_worker):
            # One copy for all workers of a machine. This reference keeps it alive.
            reference = ray.put(job)
            here = os.getcwd()
            items = [{"chunk": chunk} for chunk in chunks]
            # One block per chunk, so that the finished chunks of a dead worker are kept.
            data = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
                _Worker,
                fn_constructor_kwargs={
                    # In a list, so that Ray does not resolve it.
                    "reference": [reference],
                    "directory": here,
                    "uses_gpu": self.gpus_per_worker > 0,
                    "readers": self.readers,
                },
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=n_workers),
                num_cpus=job.manifest.threads,
                num_gpus=self.gpus_per_worker,
                ray_remote_args_fn=lambda: {"max_task_retries": RETRIES},
            )
            try:
                for row in data.iter_rows():
                    if row["failure"]:
                        raise pickle.loads(row["failure"])  # noqa: S301 - our own worker's
                    advance(int(row["n_items"]))
            except ray.exceptions.RayActorError as error:
                raise RuntimeError(
                    f"workers of Ray died {RETRIES + 1} times on the same chunk "
                    f"({one_line(error)}). The stored chunks are whole, and the same call resumes "
                    "from them."
                ) from error


class _Worker:
    """An actor that explains chunks."""

    def __init__(self, reference: list[Any], directory: str, uses_gpu: bool, readers: int) -> None:
        import ray

        keep_freed_memory()
        # Relative paths of the data begin there; Ray starts workers in a directory of its own.
        with suppress(OSError):
            os.chdir(directory)
        self._job: Job = ray.get(reference[0])
        self._readers = readers
        self._device = torch.device("cuda" if uses_gpu else "cpu")
        module_of(self._job.cam).to(self._device)
        torch.set_num_threads(self._job.manifest.threads)

    def __call__(self, batch: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Store the chunks; return their numbers of items and the failure, if any."""
        chunks = batch["chunk"].tolist()
        batches = in_threads(self._job.reader, self._job.batches(chunks), self._readers)
        failure = b""
        try:
            self._job.explain_chunks(chunks, batches, self._device, lambda _: None)
        except OSError as error:
            # A full disk, for instance. Ray would wrap the error without its cause.
            failure = pickle.dumps(error)
        except Exception as error:  # noqa: BLE001
            # Not all errors can be pickled.
            failure = pickle.dumps(RuntimeError(f"a worker of Ray failed: {one_line(error)}"))
        n_items = [len(self._job.manifest.items_of(chunk)) for chunk in chunks]
        return {"n_items": np.array(n_items), "failure": np.array([failure] * len(chunks), object)}


def _on_cpu(cam: ClusteredLayerCAM) -> ClusteredLayerCAM:
    """Return the method with its model on the CPU, so that any machine can load it."""
    if device_of(cam).type == "cpu":
        return cam
    moved = copy.deepcopy(cam)
    module_of(moved).cpu()
    return moved


@contextmanager
def _ray(address: str | None, n_cpus: int, gpus_per_worker: float) -> Iterator[None]:
    """Start Ray, unless it runs, and end what was started."""
    import ray.data

    was_there = ray.is_initialized()
    if not was_there:
        options = {} if address is not None else _on_this_machine(n_cpus)
        try:
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ValueError(f"address={address!r} gives no Ray: {one_line(error)}") from error
    context = ray.data.DataContext.get_current()
    logger = logging.getLogger("ray.data")
    before = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.ERROR)
    try:
        there = ray.cluster_resources().get("GPU", 0)
        # Ray would wait for ever for GPUs that this machine lacks; a cluster may still grow.
        if not was_there and address is None and there < gpus_per_worker:
            raise ValueError(
                f"gpus_per_worker={gpus_per_worker:g} is more than this machine has: {there:g}."
            )
        yield
    finally:
        context.enable_progress_bars = before[0]
        logger.setLevel(before[1])
        if not was_there:
            ray.shutdown()


def _on_this_machine(n_cpus: int) -> dict[str, Any]:
    return {
        # More workers than processors may be wanted.
        "num_cpus": n_cpus,
        "include_dashboard": False,
        # Workers can then import what this process can, such as a model beside the script.
        "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
    }
