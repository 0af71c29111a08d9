"""What a forward pass computes in front of the layer and behind it, seen at its modules."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.module import register_module_forward_hook

from captum_clustered._ablation.memory_cap import chunk_size


class TooManyEvaluationsError(RuntimeError):
    """
    All evaluations in one pass would take too much memory.

    Args:

        chunk (int): How many can be in memory at once.
    """

    def __init__(self, chunk: int) -> None:
        super().__init__(f"Only {chunk} evaluations fit in memory at once.")
        self.chunk = chunk


class CountCallsFirst(BaseException):
    """The layer may be called again, much later; no error, so that no model catches it."""


@dataclass
class OutputWatch:
    """
    Sees the outputs of all modules that this thread calls under vmap, and may end the pass.

    Attributes:

        n_evaluations (int): Number of evaluations in the pass.
        has_bound (bool): Whether outputs behind the layer must respect the memory cap.
        may_call_again (bool): Whether the layer's calls are not known and may be several. Then
                    the pass ends once more was computed behind the layer than in front of it:
                    if the layer is called again at the end, all that would be in vain.
        in_front, behind (int): Number of elements that were computed so far.
    """

    n_evaluations: int
    has_bound: bool
    may_call_again: bool
    in_front: int = 0
    behind: int = 0

    def __post_init__(self) -> None:
        self._owner = threading.get_ident()
        self._is_on = False

    def start(self, until: ExitStack) -> None:
        """Watch until a context ends."""
        if not self._is_on and self.n_evaluations > 1 and (self.has_bound or self.may_call_again):
            self._is_on = True
            until.callback(register_module_forward_hook(self._see).remove)

    def _see(self, module: Module, args: Any, output: Any) -> None:
        if threading.get_ident() != self._owner or not isinstance(output, Tensor):
            return
        if not torch._C._functorch.is_batchedtensor(output):
            self.in_front += output.numel()
            return
        self.behind += self.n_evaluations * output.numel()
        if self.may_call_again and self.behind > self.in_front:
            raise CountCallsFirst
        if self.has_bound and output.numel():
            chunk = chunk_size(None, output.numel())
            if chunk < self.n_evaluations:
                raise TooManyEvaluationsError(chunk)
