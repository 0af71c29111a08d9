"""Two gaps of torch.func.vmap that can be filled, since no gradient is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C import _functorch
from torch.autograd import Function
from torch.autograd.function import FunctionCtx
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from captum_clustered._ablation.model_state.torch_settings import SharedSwitch
from captum_clustered._ablation.single_pass.convolutions import CONVOLUTIONS
from captum_clustered._ablation.single_pass.lazy_base import LazyTensor

_HELPED = frozenset({F.batch_norm, *CONVOLUTIONS})


class AutocastHelp(TorchFunctionMode):
    """
    Casts operands where autocast and vmap together fail.

    vmap replaces a convolution by an operation that autocast does not know, and has no batch
    normalization of half precision with parameters in float32.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function on operands of the dtype that it needs."""
        kwargs = kwargs or {}
        if func not in _HELPED or not any(map(_is_ablated, (*args, *kwargs.values()))):
            # What comes before the layer needs no help.
            return func(*args, **kwargs)
        if func is not F.batch_norm:
            args, kwargs = pytree.tree_map_only(Tensor, _autocast, (args, kwargs))
        elif args and args[0].dtype in (torch.float16, torch.bfloat16):
            return func(args[0].float(), *args[1:], **kwargs).to(args[0].dtype)
        return func(*args, **kwargs)


def _is_ablated(arg: Any) -> bool:
    is_batched = isinstance(arg, Tensor) and _functorch.is_batchedtensor(arg)
    return is_batched or isinstance(arg, LazyTensor)


def _autocast(tensor: Tensor) -> Tensor:
    device = tensor.device.type
    # As autocast does, which leaves float64 alone.
    is_cast = tensor.is_floating_point() and tensor.dtype != torch.float64
    if is_cast and torch.is_autocast_enabled(device):
        return tensor.to(torch.get_autocast_dtype(device))
    return tensor


_local = threading.local()
_applied_plainly = SharedSwitch()


@contextmanager
def plain_autograd_functions() -> Iterator[None]:
    """
    Let vmap run the forward of autograd Functions that have no rule for vmap.

    It refuses Functions without ``setup_context``, as models from before torch 2 have them, and
    those that do not say how to vmap them. Other threads' Functions are called as always.
    """
    with _applied_plainly.using(_apply_replaced()):
        before = getattr(_local, "is_plain", False)
        _local.is_plain = True
        try:
            yield
        finally:
            _local.is_plain = before


@contextmanager
def _apply_replaced() -> Iterator[None]:
    original = Function.__dict__["apply"]

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        is_plain = getattr(_local, "is_plain", False) and cls.vmap is Function.vmap
        if not (is_plain and torch._C._are_functorch_transforms_active()):
            return original.__get__(None, cls)(*args, **kwargs)
        with torch.no_grad():
            if cls.setup_context is not Function.setup_context:
                return cls.forward(*args, **kwargs)
            context: Any = FunctionCtx()
            context.needs_input_grad = (False,) * len(args)
            return cls.forward(context, *args, **kwargs)

    Function.apply = classmethod(apply)
    try:
        yield
    finally:
        Function.apply = original
