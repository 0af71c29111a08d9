"""Read items of a data set in batches; an item that cannot be read does not stop the others."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from captum_clustered._errors import one_line

# Batches that each worker reads ahead.
PREFETCHED = 2


@dataclass(frozen=True)
class LoadedBatch:
    """Items that were read together; ``errors`` has the reason for each that is not good."""

    items: Sequence[int]
    # Those that could be read, their inputs (len(good), ...), None if there are none, and labels.
    good: list[int]
    inputs: Tensor | None
    labels: list[int | None]
    errors: dict[int, str]

    def pin_memory(self) -> LoadedBatch:
        """Return the batch in pinned memory; the DataLoader calls this."""
        return self if self.inputs is None else replace(self, inputs=self.inputs.pin_memory())


@dataclass(frozen=True)
class BatchReader(Dataset[LoadedBatch]):
    """A data set whose items are batches of another one; inputs of other shapes are errors."""

    dataset: Any
    input_shape: tuple[int, ...]
    needs_label: bool = False

    def __getitem__(self, items: Sequence[int]) -> LoadedBatch:
        inputs: list[Tensor] = []
        labels: list[int | None] = []
        good: list[int] = []
        errors: dict[int, str] = {}
        for index in items:
            try:
                value, label = read_item(self.dataset, index, self.needs_label)
                self._check_shape(value)
            except Exception as error:  # noqa: BLE001
                errors[index] = one_line(error)
                continue
            inputs.append(value)
            labels.append(label)
            good.append(index)
        return LoadedBatch(items, good, torch.stack(inputs) if inputs else None, labels, errors)

    def _check_shape(self, value: Tensor) -> None:
        shape = tuple(value.shape)
        if shape != self.input_shape:
            raise ValueError(
                f"its input has shape {shape}; those of this data set have {self.input_shape}."
            )


def read_item(dataset: Any, index: int, needs_label: bool) -> tuple[Tensor, int | None]:
    """Return the input and label of an item; raise a TypeError if it has no tensor."""
    item = dataset[index]
    parts = item if isinstance(item, (tuple, list)) else (item,)
    if not parts or not isinstance(parts[0], Tensor):
        given = type(parts[0]).__name__ if parts else "nothing"
        raise TypeError(f"dataset must give a tensor, alone or before a label; it gave {given}.")
    label = parts[1] if len(parts) > 1 else None
    if needs_label and label is None:
        raise ValueError("it has no label to explain.")
    return parts[0], None if label is None else int(label)


def in_processes(
    reader: BatchReader, batches: Sequence[Sequence[int]], num_workers: int, pin_memory: bool
) -> Iterator[LoadedBatch]:
    """Yield batches in order, read ahead by workers of a DataLoader."""
    loader: Iterable[LoadedBatch] = DataLoader(
        reader,
        sampler=batches,
        batch_size=None,
        num_workers=num_workers,
        pin_memory=pin_memory,
        prefetch_factor=PREFETCHED if num_workers else None,
        # Without it, the DataLoader draws from the global generator.
        generator=torch.Generator(),
    )
    iterator = iter(loader)
    try:
        with _without_torchs_sigchld_handler():
            yield from iterator
    except RuntimeError as error:
        if num_workers == 0:
            raise
        # Errors of the data set are in the batch; an error here has ended a worker.
        raise RuntimeError(
            f"a process that reads images has died ({str(error).strip()}): too little memory, or a "
            "file that crashes its reader. With num_workers=0 this process reads the images."
        ) from error


@contextmanager
def _without_torchs_sigchld_handler() -> Iterator[None]:
    """
    Disable torch's handler of SIGCHLD for a while.

    When a worker dies, the handler raises an error wherever this process happens to be: in the
    middle of an explanation, it would be stored as the image's error. The next request for a
    batch of that worker fails anyway.
    """
    # Windows has none.
    of_children = getattr(signal, "SIGCHLD", None)
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(of_children) if of_children and is_main else None
    is_torchs = str(getattr(handler, "__module__", "")).startswith("torch.utils.data")
    if of_children is None or not is_torchs:
        yield
        return
    signal.signal(of_children, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(of_children, handler)


def in_threads(
    reader: BatchReader, batches: Sequence[Sequence[int]], num_workers: int
) -> Iterator[LoadedBatch]:
    """Yield batches in order, read ahead by threads: for processes that must not fork."""
    if num_workers == 0:
        yield from map(reader.__getitem__, batches)
        return
    waiting: deque[Future[LoadedBatch]] = deque()
    with ThreadPoolExecutor(num_workers) as pool:
        for batch in batches:
            waiting.append(pool.submit(reader.__getitem__, batch))
            if len(waiting) > PREFETCHED * num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
