"""The values of tensors at some time, to which they can be set back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from captum_clustered._subclasses import plain


@dataclass(frozen=True)
class TensorValues:
    """
    The values of a tensor at some time.

    Attributes:

        tensor (Tensor): The user's tensor.
        memory (Tensor): Its memory, sizes and strides, which can be changed, too. It has a
                    version of its own, so that restoring does not break a backward pass.
        copy (Tensor or None): A copy of the values; None if nothing can be written in place.
    """

    tensor: Tensor
    memory: Tensor
    copy: Tensor | None

    @classmethod
    def of(cls, tensor: Tensor) -> TensorValues:
        memory = plain(tensor).data
        # Torch refuses to write into expanded tensors; their copy could be large.
        is_expanded = 0 in memory.stride() and memory.numel() > 1
        return cls(tensor, memory, None if is_expanded else memory.clone())

    @property
    def have_changed(self) -> bool:
        return self._is_elsewhere() or (
            self.copy is not None and not _are_same(self.memory, self.copy)
        )

    def restore(self) -> None:
        if self._is_elsewhere():
            with torch._C.DisableTorchFunctionSubclass():
                self.tensor.data = self.memory
        # Only what has changed is written: other memory may be read-only. For a GPU's memory,
        # which never is, the comparison would wait.
        if self.copy is not None and (self.memory.is_cuda or not _are_same(self.memory, self.copy)):
            with _writing_into(self.memory):
                self.memory.copy_(self.copy)

    def _is_elsewhere(self) -> bool:
        now = plain(self.tensor)
        return (now.data_ptr(), now.shape, now.stride()) != (
            self.memory.data_ptr(),
            self.memory.shape,
            self.memory.stride(),
        )


def restore_values(values: Sequence[TensorValues]) -> None:
    """Restore the values of several tensors."""
    for value in values:
        value.restore()


def has_values(leaf: object) -> bool:
    """Return whether an object is a tensor with memory of its own, which can be copied."""
    return (
        isinstance(leaf, Tensor)
        and not is_lazy(leaf)
        and type(plain(leaf)) is Tensor
        and leaf.layout is torch.strided
        and not (leaf.is_nested or leaf.is_quantized or leaf.is_meta)
        and not torch._C._functorch.is_functorch_wrapped_tensor(leaf)
    )


def _are_same(one: Tensor, other: Tensor) -> bool:
    # The second comparison is for NaN, which is not equal to itself.
    return torch.equal(one, other) or bool(
        ((one == other) | ((one != one) & (other != other))).all()
    )


def _writing_into(tensor: Tensor) -> AbstractContextManager[None]:
    return torch.inference_mode(tensor.is_inference())
