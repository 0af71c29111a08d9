"""The values of tensors at some time, to which they can be set back."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors
from torch.nn.parameter import is_lazy

from captum_clustered._subclasses import plain

# Up to this number of elements, an operation on a tensor takes longer than its values.
SMALL = 2**12


class TensorValues:
    """
    The values of some tensors at some time.

    A network has hundreds of small buffers. Those of the same kind are copied, and compared,
    together.

    Args:

        tensors (iterable of Tensor): The user's tensors, which :func:`has_values` accepts.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        # Their memory, sizes and strides, which can be changed, too. It has a version of its own,
        # so that restoring does not break a backward pass.
        self._places = [(tensor, plain(tensor).data) for tensor in tensors]
        groups: dict[Any, list[Tensor]] = {}
        for _, memory in self._places:
            # Torch refuses to write into expanded tensors; their copy could be large.
            if 0 not in memory.stride() or memory.numel() < 2:
                is_small = memory.numel() <= SMALL
                kind = (memory.dtype, memory.device, memory.is_inference())
                groups.setdefault(kind if is_small else id(memory), []).append(memory)
        self._copies = [(group, _copy_of(group)) for group in groups.values()]

    @property
    def have_changed(self) -> bool:
        """Whether a tensor has other values or another place in memory now."""
        return any(_is_elsewhere(*place) for place in self._places) or not all(
            _are_same(_together(group), copy) for group, copy in self._copies
        )

    def restore(self) -> None:
        """Put back the values and the place of each tensor."""
        for tensor, memory in self._places:
            if _is_elsewhere(tensor, memory):
                with torch._C.DisableTorchFunctionSubclass():
                    tensor.data = memory
        for group, copy in self._copies:
            # For a GPU's memory, the comparison would wait.
            if copy.is_cuda or not _are_same(_together(group), copy):
                _write(group, copy)


def has_values(leaf: object) -> bool:
    """Return whether an object is a tensor with memory of its own, which can be copied."""
    return (
        isinstance(leaf, Tensor)
        and (type(leaf) is Tensor or (not is_lazy(leaf) and type(plain(leaf)) is Tensor))
        and leaf.layout is torch.strided
        and not (leaf.is_nested or leaf.is_quantized or leaf.is_meta)
        and not torch._C._functorch.is_functorch_wrapped_tensor(leaf)
    )


def _is_elsewhere(tensor: Tensor, memory: Tensor) -> bool:
    return not plain(tensor).is_set_to(memory)


def _together(group: list[Tensor]) -> Tensor:
    together: Tensor = group[0] if len(group) == 1 else _flatten_dense_tensors(group)
    return together


def _copy_of(group: list[Tensor]) -> Tensor:
    together = _together(group)
    return together.clone() if len(group) == 1 else together


def _are_same(one: Tensor, other: Tensor) -> bool:
    # The second comparison is for NaN, which is not equal to itself.
    return torch.equal(one, other) or bool(
        ((one == other) | ((one != one) & (other != other))).all()
    )


def _write(group: list[Tensor], copy: Tensor) -> None:
    """Write what :func:`_together` returned before; only where it differs."""
    parts = copy.flatten().split([memory.numel() for memory in group])
    values = [part.view(memory.shape) for memory, part in zip(group, parts, strict=True)]
    if copy.is_cuda:
        # One operation for all of them.
        with _writing_into(group[0]):
            torch._foreach_copy_(group, values)
        return
    for memory, part in zip(group, values, strict=True):
        # Memory may be read-only.
        if not _are_same(memory, part):
            with _writing_into(memory):
                memory.copy_(part)


def _writing_into(tensor: Tensor) -> AbstractContextManager[None]:
    return torch.inference_mode(tensor.is_inference())
