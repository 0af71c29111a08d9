"""How many images fit into a budget of memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

# Larger batches are hardly faster, and more is computed again after a failure.
MAX_BATCH_SIZE = 64
# On a CPU, where free memory is everybody's.
CPU_BUDGET = 2**30
# Of a GPU's free memory: libraries take workspaces that are not seen here.
GPU_SHARE = 0.5


def choose_batch_size(run: Callable[[Tensor], Any], example: Tensor, budget: int) -> int:
    """
    The largest power of two whose batch fits, at most ``MAX_BATCH_SIZE``.

    What one more image takes is the difference between the peaks of batches of two and of
    one image.

    Args:

        run (Callable): What is done with a batch of inputs.
        example (Tensor): One image's input, without a dimension of examples.
        budget (int): In bytes.
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
    """Bytes that may be used where nothing is said."""
    if device.type == "cuda":
        return int(GPU_SHARE * torch.cuda.mem_get_info(device)[0])
    return CPU_BUDGET


class _LiveBytes(TorchDispatchMode):
    """The peak of what the tensors made inside it occupy, on any device."""

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
