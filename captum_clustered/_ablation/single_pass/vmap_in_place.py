"""Operations in place and memory formats, which torch.func.vmap refuses for some tensors."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from captum_clustered._ablation.single_pass.layout_watch import LayoutWatch, writes

_FORMATS = frozenset({Tensor.contiguous, Tensor.to, Tensor.clone, torch.clone})


class InPlaceHelp(TorchFunctionMode):
    """
    Lets a model write ablated values into a tensor that was computed without ablation.

    vmap refuses ``out += branch`` if only the branch depends on the evaluation. Inside the
    context, ``out`` becomes a tensor of all evaluations first, under every name that it has.
    This is done only for tensors that were made in the same pass and whose memory no other
    tensor shares: nobody else can see them. Memory formats do not change values, and are left
    out.

    Args:

        index (Tensor): The scalar that vmap runs over.
    """

    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self._index, self._layout = index, LayoutWatch()
        # Of tensors that may be gone. Their numbers are reused for tensors of this pass only.
        self._made: set[int] = set()

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function, in a way that vmap accepts."""
        kwargs = kwargs or {}
        given = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        is_ablated = any(map(torch._C._functorch.is_batchedtensor, given))
        is_reformatted = is_ablated and func in _FORMATS and "memory_format" in kwargs
        if is_reformatted:
            kwargs = {name: value for name, value in kwargs.items() if name != "memory_format"}
        elif is_ablated and args and writes(func) and self._is_own(args[0]):
            # Fails if something in C++ refers to the tensor. Then vmap says what it misses.
            with suppress(RuntimeError):
                torch.utils.swap_tensors(args[0], torch.where(self._index >= 0, args[0], args[0]))
        found = self._layout.call(func, args, kwargs)
        if is_reformatted and found is args[0]:
            # In a plain pass, it may be a copy.
            self._layout.see_copy(args[0], found, is_certain=False)
        before = {id(tensor) for tensor in given}
        self._made.update(
            id(leaf)
            for leaf in pytree.tree_leaves(found)
            if isinstance(leaf, Tensor) and id(leaf) not in before
        )
        return found

    def _is_own(self, tensor: Any) -> bool:
        return (
            type(tensor) is Tensor
            and id(tensor) in self._made
            and not torch._C._functorch.is_batchedtensor(tensor)
            and _users(tensor) == _users(torch.empty(1))
        )


def _users(tensor: Tensor) -> int:
    """Return how many tensors share a tensor's memory, and a constant."""
    users: int = torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)
    return users
