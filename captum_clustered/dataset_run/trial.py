"""A trial on the first images: wrong settings fail here, and memory decides the batch size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from captum_clustered._errors import one_line
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.dataset_run.explaining import LABEL, BatchExplainer, RunSettings
from captum_clustered.dataset_run.loading import read_item

# Number of unreadable items before the trial gives up.
MAX_UNREADABLE = 1000
# Number of readable items that cannot be explained before the settings are to blame.
MAX_UNEXPLAINED = 8
# Bytes of a stored row besides its map and clusters.
ROW_BYTES = 64
# Larger batches are hardly faster, and more is computed again after a failure.
MAX_BATCH_SIZE = 64
# The most by default on a CPU, where larger batches were measured to be slower (make bench-run).
CPU_BATCH_SIZE = 8
# The default budget on a CPU, whose free memory other processes need too.
CPU_BUDGET = 2**30
# The default share of a GPU's free memory: libraries take workspaces that are not seen here.
GPU_SHARE = 0.5


class Trial:
    """The first image that can be explained: its input ``example``, map shape and row's bytes."""

    def __init__(
        self,
        cam: ClusteredLayerCAM,
        settings: RunSettings,
        dataset: Any,
        n_items: int,
        device: torch.device,
    ) -> None:
        self._device = device
        self._explainer = BatchExplainer(cam, settings, device)
        row = self._first(_readable(dataset, settings.target == LABEL, n_items))
        self.map_shape = self._explainer.map_shape
        self.row_bytes = ROW_BYTES + sum(np.asarray(value).nbytes for value in row.values())

    def batch_size(self, memory: int | None) -> int:
        """Return the batch size that fits into the memory, in bytes; None for the default."""
        size = choose_batch_size(
            self._explain, self.example, memory or default_budget(self._device)
        )
        return min(size, CPU_BATCH_SIZE) if memory is None and self._device.type == "cpu" else size

    def _first(self, items: Iterator[tuple[Tensor, int | None]]) -> dict[str, Any]:
        """Return the row of the example; if the first few fail, raise the error of the first."""
        failed: Exception | None = None
        for self.example, self._label in itertools.islice(items, MAX_UNEXPLAINED):
            try:
                return self._explain(self.example[None])[0]
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001
                failed = failed or error
        assert failed is not None  # noqa: S101 - at least one item can be read
        raise failed

    def _explain(self, inputs: Tensor) -> list[dict[str, Any]]:
        return self._explainer.explain(inputs, [self._label] * len(inputs))


def choose_batch_size(run: Callable[[Tensor], Any], example: Tensor, budget: int) -> int:
    """
    Return the largest power of two whose batch fits into a budget in bytes, at most 64.

    The memory of one more image is the difference between the peaks of ``run`` on batches of two
    images and of one.
    """
    peaks = []
    for n_examples in (1, 2):
        batch = torch.stack([example] * n_examples)
        with _LiveBytes() as live:
            run(batch)
        peaks.append(live.peak)
    each = max(peaks[1] - peaks[0], example.nbytes)
    size = 1
    while 2 * size <= MAX_BATCH_SIZE and 2 * size * each <= budget:
        size *= 2
    return size


def default_budget(device: torch.device) -> int:
    """Return the default memory budget in bytes."""
    if device.type == "cuda":
        return int(GPU_SHARE * torch.cuda.mem_get_info(device)[0])
    return CPU_BUDGET


def _readable(dataset: Any, needs_label: bool, n_items: int) -> Iterator[tuple[Tensor, int | None]]:
    reasons: list[str] = []
    n_tried = min(n_items, MAX_UNREADABLE)
    for index in range(n_tried):
        try:
            yield read_item(dataset, index, needs_label)
        except Exception as error:  # noqa: BLE001
            reasons.append(one_line(error))
    if len(reasons) == n_tried:
        raise ValueError(
            f"none of the first {n_tried} items of dataset can be read. The first one failed: "
            f"{reasons[0]}"
        )


class _LiveBytes(TorchDispatchMode):
    """Measures the peak memory of the tensors that are made inside it, on any device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._storages: Any = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in pytree.tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                self._storages[storage] = storage.nbytes()
        self.peak = max(self.peak, sum(self._storages.values()))
        return result
