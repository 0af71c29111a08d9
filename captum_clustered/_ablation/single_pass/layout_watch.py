"""Models that notice the layout of a tensor in memory, which differs under torch.func.vmap."""

from __future__ import annotations

import weakref
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C import _functorch

from captum_clustered._ablation.single_pass.lazy_base import (
    CannotBeLazyError,
    LazyTensor,
    materialize,
    state_of,
)

# Depending on the layout, they return a view of a tensor or a copy.
_VIEWS_OR_COPIES = frozenset(
    {
        *(torch.reshape, torch.flatten, torch.ravel, Tensor.to),
        *(Tensor.reshape, Tensor.flatten, Tensor.ravel, Tensor.reshape_as, Tensor.contiguous),
    }
)
_OF_STRIDES = frozenset({torch.as_strided, Tensor.as_strided, Tensor.stride})
# They draw random numbers in the order of a tensor's memory.
_DROPOUTS = frozenset({F.dropout, F.alpha_dropout})
_DRAWING = frozenset(
    {
        *(torch.rand_like, torch.randn_like, torch.randint_like, torch.bernoulli, torch.poisson),
        *(torch.dropout, torch.alpha_dropout, F.rrelu, Tensor.bernoulli, Tensor.bernoulli_),
        *(Tensor.uniform_, Tensor.normal_, Tensor.exponential_, Tensor.random_),
        *(Tensor.cauchy_, Tensor.log_normal_, Tensor.geometric_),
    }
)


class LayoutWatch:
    """
    Ends a pass whose result may depend on the layout of its tensors.

    This is the case if the model uses strides, if it draws random numbers in the order of a
    tensor's memory, or if it writes into a tensor or its copy where one may be a view of the other
    in a plain pass.
    """

    def __init__(self) -> None:
        # The memory of such tensors and copies.
        self._copied: set[int] = set()

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function; raise CannotBeLazyError if the layout may matter."""
        tensor = args[0] if args and isinstance(args[0], Tensor) else None
        if tensor is None:
            return func(*args, **kwargs)
        is_written = writes(func) or kwargs.get("inplace", False)
        if (
            (func in _OF_STRIDES and not _is_contiguous(tensor))
            or (_draws(func, args, kwargs) and not _is_contiguous(materialize(tensor)))
            or (is_written and self._copied and _memory(tensor)._cdata in self._copied)
        ):
            raise CannotBeLazyError("The result may depend on the layout of tensors in memory.")
        found = func(*args, **kwargs)
        if func in _VIEWS_OR_COPIES and not isinstance(found, LazyTensor):
            self.see_copy(tensor, found)
        return found

    def see_copy(self, tensor: Tensor, copy: Tensor, is_certain: bool = True) -> None:
        """Note that a copy was made, unless it is certain that it is a view."""
        if not _functorch.is_batchedtensor(_like(tensor)):
            return
        storages = [_memory(tensor), _memory(copy)]
        if not is_certain or storages[0]._cdata != storages[1]._cdata:
            for storage in storages:
                self._copied.add(storage._cdata)
                weakref.finalize(storage, self._copied.discard, storage._cdata)


def writes(func: Any) -> bool:
    """Return whether a function writes into its first argument, whatever the others are."""
    name = getattr(func, "__name__", "")
    return name == "__setitem__" or (name.endswith("_") and not name.startswith("__"))


def _draws(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if func in _DROPOUTS:
        return bool(args[2] if len(args) > 2 else kwargs.get("training", True))
    return func in _DRAWING


def _like(tensor: Tensor) -> Tensor:
    """Return a lazy tensor's values if they are computed; they need not be."""
    like: Tensor = state_of(tensor).like if isinstance(tensor, LazyTensor) else tensor
    return like


def _memory(tensor: Tensor) -> Any:
    tensor = _like(tensor)
    while _functorch.is_batchedtensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    return tensor.untyped_storage()


def _is_contiguous(tensor: Tensor) -> bool:
    """Return whether the tensor is contiguous in each evaluation, as most are in a plain pass."""
    if isinstance(tensor, LazyTensor):
        return False
    while _functorch.is_batchedtensor(tensor):
        dim = _functorch.maybe_get_bdim(tensor)
        tensor = _functorch.get_unwrapped(tensor).movedim(dim, 0)
    return tensor.is_contiguous()
