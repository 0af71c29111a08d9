"""How :func:`torch.func.vmap` sees a tensor that holds all evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch


@dataclass(frozen=True)
class EvaluationBatch:
    """
    The evaluations of the current vmap.

    Attributes:

        level (int): What vmap calls this batch; vmaps of the model's own have other levels.
        size (int): Number of evaluations.
    """

    level: int
    size: int

    @classmethod
    def of(cls, tensor: Tensor) -> EvaluationBatch | None:
        """Return the batch of a plain tensor in it; None for any other tensor."""
        if type(tensor) is not Tensor or not _functorch.is_batchedtensor(tensor):
            return None
        level = _functorch.maybe_get_level(tensor)
        interpreter = _functorch.peek_interpreter_stack()
        if interpreter is None or interpreter.level() != level:
            return None
        inside = _functorch.get_unwrapped(tensor)
        if _functorch.is_batchedtensor(inside):
            return None
        return cls(level, inside.shape[_functorch.maybe_get_bdim(tensor)])

    def unpack(self, tensor: Tensor) -> Tensor:
        """Return a tensor of vmap as one with the evaluations in dimension 0."""
        unpacked: Tensor = _functorch._remove_batch_dim(tensor, self.level, self.size, 0)
        return unpacked

    def pack(self, tensor: Tensor) -> Tensor:
        """Return such a tensor as vmap sees it."""
        packed: Tensor = _functorch._add_batch_dim(tensor, 0, self.level)
        return packed


def are_plain_parameters(*tensors: Any) -> bool:
    """Return whether these are None or the same real parameters for all evaluations."""
    return all(
        tensor is None
        or (
            type(tensor) in (Tensor, torch.nn.Parameter)
            and tensor.is_floating_point()
            and not _functorch.is_batchedtensor(tensor)
        )
        for tensor in tensors
    )
