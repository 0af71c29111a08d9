"""Ablated tensors that are computed only when the model mixes their channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils import _pytree as pytree

from captum_clustered._ablation.memory_cap import SizeLimit


class CannotBeLazyError(RuntimeError):
    """The ablation must be computed at the layer, for this model or this many evaluations."""


@dataclass
class _State:
    """
    The data of a lazy tensor, whose values are ``where(mask, value, baseline)``.

    Attributes:

        value (Tensor): Without ablation, the same for all evaluations.
        baseline (Tensor): With everything ablated; broadcasts to ``value``.
        mask (Tensor): Where ``value`` is kept, bool; broadcasts to ``value``. Only this differs
                    between evaluations.
        limit (SizeLimit): The maximum size of ``value`` when the tensor is computed.
        base (_State or None): The tensor that this one is a view of.
        computed (Tensor or None): The values, once they were needed.
        has_views (bool): Whether another tensor is a view of this one.
    """

    value: Tensor
    baseline: Tensor
    mask: Tensor
    limit: SizeLimit
    base: _State | None = None
    computed: Tensor | None = None
    has_views: bool = False

    @property
    def is_computed(self) -> bool:
        """Whether the values exist; the model may have written into them."""
        return self.computed is not None or (self.base is not None and self.base.is_computed)

    @property
    def is_shared(self) -> bool:
        """Whether another tensor shares its memory."""
        return self.base is not None or self.has_views

    @property
    def masks_whole_channels(self) -> bool:
        """Whether the mask is the same at all positions of a channel."""
        return self.mask.dim() == self.value.dim() and all(n == 1 for n in self.mask.shape[2:])

    def derived(
        self, value: Tensor, baseline: Tensor, mask: Tensor, base: _State | None = None
    ) -> LazyAblatedTensor:
        return _from_state(_State(value, baseline, mask, self.limit, base))

    def materialize(self) -> Tensor:
        if self.computed is None and self.base is not None:
            self.computed = self.base.materialize().view(self.value.shape)
        elif self.computed is None:
            if self.value.numel() > self.limit.max_elements:
                self.limit.was_exceeded = True
                raise CannotBeLazyError(f"{self.value.numel()} elements are too many.")
            self.computed = torch.where(self.mask, self.value, self.baseline)
        return self.computed


class LazyAblatedTensor(Tensor):
    r"""
    The layer's tensor with channels ablated, computed when it is needed.

    Ablation replaces whole channels, pooling acts on each channel and an activation on each
    value, so f(where(mask, A, B)) = where(mask, f(A), f(B)). The right side needs f twice, the
    left side once for each ablation. A lazy tensor holds A, B and the mask, and applies such
    functions to A and B. A function that mixes channels gets the computed tensor. Usually this
    is the linear layer behind a global pooling, so the ablated feature maps are never computed.

    It is a tensor without memory, on the device "meta", whose ``__torch_function__``
    (`Extending PyTorch <https://pytorch.org/docs/stable/notes/extending.html>`_) receives each
    call of torch with it. A reshaped lazy tensor is a view: both are computed together, in the
    same memory.

    Code that bypasses torch's functions finds a tensor without values and fails; it does not
    return a wrong number. Only a test such as ``type(x) is Tensor`` behaves differently without
    an error.
    """

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Apply the rule of the function, if there is one, else the function itself."""
        kwargs = kwargs or {}
        # With out=, a function writes into a tensor of the caller.
        rule = _rule_of(func) if kwargs.get("out") is None else None
        if rule is not None and args and isinstance(args[0], LazyAblatedTensor):
            found = rule(func, args[0], args[1:], kwargs)
            if found is not NotImplemented:
                return found
        args, kwargs = pytree.tree_map_only(LazyAblatedTensor, materialize, (args, kwargs))
        return func(*args, **kwargs)


def lazy_ablated(
    value: Tensor, baseline: Tensor, mask: Tensor, limit: SizeLimit
) -> LazyAblatedTensor:
    """
    Return ``where(mask, value, baseline)`` as a lazy tensor.

    Value and baseline are (N, C, *spatial) or broadcast to it, the mask is (N, C, 1, ...). A
    tensor larger than the limit raises CannotBeLazyError when it is needed.
    """
    return _from_state(_State(value, baseline, mask, limit))


def materialize(tensor: Tensor) -> Tensor:
    """Return a lazy tensor's values, unless they are too many; any other tensor as it is."""
    return _state(tensor).materialize() if isinstance(tensor, LazyAblatedTensor) else tensor


def _from_state(state: _State) -> LazyAblatedTensor:
    empty = torch.empty(state.value.shape, dtype=state.value.dtype, device="meta")
    tensor: LazyAblatedTensor = empty.as_subclass(LazyAblatedTensor)
    tensor.__dict__["_state"] = state
    return tensor


def _state(tensor: LazyAblatedTensor) -> _State:
    state: _State = tensor.__dict__["_state"]
    return state


Rule = Callable[[Any, LazyAblatedTensor, tuple[Any, ...], dict[str, Any]], Any]


def _metadata(func: Any, tensor: LazyAblatedTensor, rest: Any, kwargs: Any) -> Any:
    """Return metadata such as shape and dtype, which ablation does not change."""
    state = _state(tensor)
    return func(state.value if state.computed is None else state.computed, *rest, **kwargs)


def _elementwise(func: Any, tensor: LazyAblatedTensor, rest: Any, kwargs: Any) -> Any:
    state = _state(tensor)
    if state.is_computed or any(isinstance(arg, LazyAblatedTensor) for arg in rest):
        return NotImplemented
    in_place = kwargs.get("inplace", False)
    if in_place and state.is_shared:
        return NotImplemented
    # Not in place: the layer's own tensor is needed again.
    kwargs = kwargs | {"inplace": False} if in_place else kwargs
    value = func(state.value, *rest, **kwargs)
    baseline = func(state.baseline.expand_as(state.value), *rest, **kwargs)
    if not in_place:
        return state.derived(value, baseline, state.mask)
    state.value, state.baseline = value, baseline
    return tensor


def _batch_norm(func: Any, tensor: LazyAblatedTensor, rest: Any, kwargs: Any) -> Any:
    """With running statistics, batch normalization acts on each value."""
    if kwargs.get("training", True):
        return NotImplemented
    return _elementwise(func, tensor, rest, kwargs)


def _dropout(func: Any, tensor: LazyAblatedTensor, rest: Any, kwargs: Any) -> Any:
    """In evaluation mode, dropout does nothing."""
    if rest or kwargs.get("training", True):
        return NotImplemented
    return tensor


def _pooling(n_spatial: int) -> Rule:
    """Make the rule of a pooling. It would pool over the channels of an unbatched tensor."""

    def rule(func: Any, tensor: LazyAblatedTensor, rest: Any, kwargs: Any) -> Any:
        state = _state(tensor)
        if state.value.dim() != n_spatial + 2 or kwargs.get("return_indices", False):
            return NotImplemented
        return _channelwise(func, state, rest, kwargs)

    return rule


def _mean(func: Any, tensor: LazyAblatedTensor, rest: Any, kwargs: Any) -> Any:
    state = _state(tensor)
    dims = kwargs.get("dim", rest[0] if rest else None)
    dims = (dims,) if isinstance(dims, int) else dims
    # Without dim, or with an empty list, the mean is over all dimensions.
    if not dims or any(dim % state.value.dim() < 2 for dim in dims):
        return NotImplemented
    return _channelwise(func, state, rest, kwargs)


def _channelwise(func: Any, state: _State, rest: Any, kwargs: Any) -> Any:
    if state.is_computed or not state.masks_whole_channels:
        return NotImplemented
    value = func(state.value, *rest, **kwargs)
    baseline = func(state.baseline.expand_as(state.value), *rest, **kwargs)
    return state.derived(value, baseline, _per_channel(state.mask, value))


def _per_channel(mask: Tensor, value: Tensor) -> Tensor:
    """Reshape a mask (N, C, 1, ...) to the number of dimensions of a value."""
    return mask.reshape(*mask.shape[:2], *[1] * (value.dim() - 2))


def _reshaped(func: Any, tensor: LazyAblatedTensor, rest: Any, kwargs: Any) -> Any:
    state = _state(tensor)
    if state.is_computed or any(isinstance(arg, torch.dtype) for arg in rest) or kwargs:
        return NotImplemented
    value = func(state.value, *rest)
    baseline = state.baseline.expand_as(state.value).reshape(value.shape)
    if state.masks_whole_channels and value.shape[:2] == state.value.shape[:2]:
        mask = _per_channel(state.mask, value)
    else:
        mask = state.mask.expand_as(state.value).reshape(value.shape)
    # Writing into a view changes its base; writing into a copy does not.
    is_view = value.data_ptr() == state.value.data_ptr()
    state.has_views = state.has_views or is_view
    return state.derived(value, baseline, mask, state if is_view else None)


_PROPERTIES = {
    Tensor.shape,
    Tensor.dtype,
    Tensor.device,
    Tensor.ndim,
    Tensor.layout,
    Tensor.is_cuda,
    Tensor.is_meta,
    Tensor.is_quantized,
    Tensor.requires_grad,
}
# The functions that usually follow a last convolutional layer. Others get computed tensors.
RULES: dict[Any, Rule] = {
    **dict.fromkeys(
        (
            Tensor.size,
            Tensor.dim,
            Tensor.numel,
            Tensor.is_floating_point,
            torch.is_floating_point,
        ),
        _metadata,
    ),
    **dict.fromkeys(
        (F.relu, torch.relu, Tensor.relu, F.hardtanh, F.relu6, F.silu, F.hardswish, F.gelu),
        _elementwise,
    ),
    F.batch_norm: _batch_norm,
    F.dropout: _dropout,
    **{
        pool: _pooling(n_spatial)
        for n_spatial, pools in {
            1: (F.adaptive_avg_pool1d, F.adaptive_max_pool1d, F.avg_pool1d, F.max_pool1d),
            2: (F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.avg_pool2d, F.max_pool2d),
            3: (F.adaptive_avg_pool3d, F.adaptive_max_pool3d, F.avg_pool3d, F.max_pool3d),
        }.items()
        for pool in pools
    },
    **dict.fromkeys((Tensor.mean, torch.mean), _mean),
    **dict.fromkeys(
        (Tensor.flatten, torch.flatten, Tensor.reshape, torch.reshape, Tensor.view), _reshaped
    ),
}


def _rule_of(func: Any) -> Rule | None:
    # The getter of a property is a new object each time.
    if getattr(func, "__name__", "") == "__get__" and func.__self__ in _PROPERTIES:
        return _metadata
    return RULES.get(func)
