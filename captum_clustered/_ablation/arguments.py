"""What a model writes into its own arguments."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from captum_clustered._subclasses import plain


class CallArguments:
    """
    The tensors that each forward pass receives, and their values before the first one.

    A model may write into its inputs (``x.sub_(mean)``). All passes must see the same image, and
    afterwards the user's tensors must be as one pass without ablation leaves them. Values are
    compared, since there are writes that a tensor's version does not count; this happens only
    if there is more than one pass.

    Args:

        *arguments: Tensors, in any nesting of tuples, lists and dictionaries.
    """

    def __init__(self, *arguments: object) -> None:
        leaves = {id(leaf): leaf for leaf in pytree.tree_leaves(arguments)}.values()
        self._tensors = [leaf for leaf in leaves if _has_values(leaf)]
        self._before = self._values()
        self._after: Sequence[_Values] | None = None
        self._has_started = self._is_complete = False

    def reset(self) -> None:
        """Restore the values from before the first pass; called before each pass."""
        if self._has_started:
            is_changed = any(values.have_changed for values in self._before)
            # The first pass that ends is one without ablation.
            if self._is_complete and self._after is None:
                self._after = self._values() if is_changed else self._before
            if is_changed:
                _restore(self._before)
        self._has_started = True

    def complete(self) -> None:
        """Note that a pass has ended without an error."""
        self._is_complete = True

    def settle(self) -> None:
        """Leave the tensors as the first complete pass has left them."""
        if self._after is not None:
            _restore(self._after)

    def _values(self) -> list[_Values]:
        return [_Values.of(tensor) for tensor in self._tensors]


@dataclass(frozen=True)
class _Values:
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
    def of(cls, tensor: Tensor) -> _Values:
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
        # Only what has changed is written: other memory may be read-only.
        if self.copy is not None and not _are_same(self.memory, self.copy):
            with _writing_into(self.memory):
                self.memory.copy_(self.copy)

    def _is_elsewhere(self) -> bool:
        now = plain(self.tensor)
        return (now.data_ptr(), now.shape, now.stride()) != (
            self.memory.data_ptr(),
            self.memory.shape,
            self.memory.stride(),
        )


def _restore(values: Sequence[_Values]) -> None:
    for value in values:
        value.restore()


def _has_values(leaf: object) -> bool:
    return (
        isinstance(leaf, Tensor)
        and type(plain(leaf)) is Tensor
        and leaf.layout is torch.strided
        and not (leaf.is_nested or leaf.is_quantized or leaf.is_meta)
    )


def _are_same(one: Tensor, other: Tensor) -> bool:
    # The second comparison is for NaN, which is not equal to itself.
    return torch.equal(one, other) or bool(
        ((one == other) | ((one != one) & (other != other))).all()
    )


def _writing_into(tensor: Tensor) -> AbstractContextManager[None]:
    return torch.inference_mode(tensor.is_inference())
