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

from captum_clustered._ablation.memory_cap import PassEnds


class CountCallsFirst(PassEnds):
    """The layer may be called again, much later."""


@dataclass
class OutputWatch:
    """
    Ends a pass under vmap once more was computed behind the layer than in front of it.

    If the layer is called again at the end, all that would be in vain. What is computed is seen
    at the outputs of the modules that this thread calls.

    Attributes:

        n_evaluations (int): Number of evaluations in the pass.
        in_front, behind (int): Number of elements that were computed so far.
    """

    n_evaluations: int
    in_front: int = 0
    behind: int = 0

    def __post_init__(self) -> None:
        self._owner = threading.get_ident()

    def start(self, until: ExitStack) -> None:
        """Watch until a context ends."""
        until.callback(register_module_forward_hook(self._see).remove)

    def _see(self, module: Module, args: Any, output: Any) -> None:
        if threading.get_ident() != self._owner or not isinstance(output, Tensor):
            return
        if not torch._C._functorch.is_batchedtensor(output):
            self.in_front += output.numel()
            return
        self.behind += self.n_evaluations * output.numel()
        if self.behind > self.in_front:
            raise CountCallsFirst
