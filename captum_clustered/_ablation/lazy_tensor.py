"""Ablated tensors that are not computed before the model mixes their channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils import _pytree as pytree


class CannotDeferError(RuntimeError):
    """The ablation must be computed at the layer, for this model or this many rows."""


@dataclass
class Limit:
    """
    How large a tensor may be to be computed.

    Attributes:

        max_elements (int): Of one row.
        was_exceeded (bool): Whether one was too large. The model may have caught the error and
                    gone on without.
    """

    max_elements: int
    was_exceeded: bool = False


@dataclass
class _State:
    """
    What an ablated tensor stands for: ``where(keep, value, baseline)``.

    Attributes:

        value (Tensor): Without ablation, the same for all rows.
        baseline (Tensor): With everything ablated; broadcasts to it.
        keep (Tensor): Where ``value`` counts, bool; broadcasts to it. It alone differs from
                    row to row.
        limit (Limit or None): How large ``value`` may be to be computed.
        base (_State or None): The tensor that this one is a view of.
        full (Tensor or None): The tensor itself, once something has asked for it.
        has_views (bool): Whether another one is a view of this.
    """

    value: Tensor
    baseline: Tensor
    keep: Tensor
    limit: Limit | None
    base: _State | None = None
    full: Tensor | None = None
    has_views: bool = False

    @property
    def is_computed(self) -> bool:
        """Whether its memory is there, and may have been written into."""
        return self.full is not None or (self.base is not None and self.base.is_computed)

    @property
    def is_shared(self) -> bool:
        """Whether another tensor changes with it."""
        return self.base is not None or self.has_views

    @property
    def keeps_whole_channels(self) -> bool:
        """Whether a channel is kept or ablated at all of its positions alike."""
        return self.keep.dim() == self.value.dim() and all(n == 1 for n in self.keep.shape[2:])

    def derived(
        self, value: Tensor, baseline: Tensor, keep: Tensor, base: _State | None = None
    ) -> AblatedTensor:
        return _ablated(_State(value, baseline, keep, self.limit, base))

    def computed(self) -> Tensor:
        if self.full is None and self.base is not None:
            self.full = self.base.computed().view(self.value.shape)
        elif self.full is None:
            if self.limit is not None and self.value.numel() > self.limit.max_elements:
                self.limit.was_exceeded = True
                raise CannotDeferError(f"{self.value.numel()} elements for each row are too many.")
            self.full = torch.where(self.keep, self.value, self.baseline)
        return self.full


class AblatedTensor(Tensor):
    r"""
    The layer's tensor with channels ablated, as what follows the layer sees it.

    Ablation replaces whole channels, so it can wait: pooling acts on each channel by itself and
    an activation on each value, f(where(keep, A, B)) = where(keep, f(A), f(B)), and the right
    side needs f twice instead of once for each ablation. So what is handed on is A, B and
    ``keep``, until a function comes that mixes channels; most often that is a linear
    layer behind a global pooling, and the ablated feature maps are never made.

    It is a tensor on the device "meta", without memory, whose
    ``__torch_function__`` (`Extending PyTorch <https://pytorch.org/docs/stable/notes/extending.html>`_)
    sees each call of torch with it. Functions that are not known here get the tensor itself.
    Reshaped, it stays a view: once one of the two is computed, both are, in the same memory, and
    whatever writes into one shows in the other.

    Code that such calls do not pass through meets a tensor without values and fails,
    it does not give a wrong number. Only ``type(x) is Tensor`` can tell the difference and go on.
    """

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """The call with what stands for this tensor, or with the tensor itself."""
        kwargs = kwargs or {}
        # With out= a function writes into a tensor that somebody else has.
        rule = _rule_of(func) if kwargs.get("out") is None else None
        if rule is not None and args and isinstance(args[0], AblatedTensor):
            found = rule(func, args[0], args[1:], kwargs)
            if found is not NotImplemented:
                return found
        args, kwargs = pytree.tree_map_only(AblatedTensor, computed, (args, kwargs))
        return func(*args, **kwargs)


def deferred(value: Tensor, baseline: Tensor, keep: Tensor, limit: Limit | None) -> AblatedTensor:
    """
    ``where(keep, value, baseline)``, to be computed when it is needed.

    Args:

        value (Tensor): Shape (N, C, *spatial).
        baseline (Tensor): Broadcasts to it.
        keep (Tensor): Channels that are kept, bool (N, C, 1, ...).
        limit (Limit or None): A larger tensor raises CannotDeferError when it is needed.
    """
    return _ablated(_State(value, baseline, keep, limit))


def computed(tensor: Tensor) -> Tensor:
    """
    The tensor itself, for what cannot do with less.

    Raises:

        CannotDeferError: If it has too many elements.
    """
    return _state(tensor).computed() if isinstance(tensor, AblatedTensor) else tensor


def _ablated(state: _State) -> AblatedTensor:
    stand_in = torch.empty(state.value.shape, dtype=state.value.dtype, device="meta")
    tensor: AblatedTensor = stand_in.as_subclass(AblatedTensor)
    tensor.__dict__["_state"] = state
    return tensor


def _state(tensor: AblatedTensor) -> _State:
    state: _State = tensor.__dict__["_state"]
    return state


Rule = Callable[[Any, AblatedTensor, tuple[Any, ...], dict[str, Any]], Any]


def _described(func: Any, tensor: AblatedTensor, rest: Any, kwargs: Any) -> Any:
    """Shape and the like: of ablation they know nothing."""
    state = _state(tensor)
    return func(state.value if state.full is None else state.full, *rest, **kwargs)


def _of_each_value(func: Any, tensor: AblatedTensor, rest: Any, kwargs: Any) -> Any:
    state = _state(tensor)
    if state.is_computed or any(isinstance(arg, AblatedTensor) for arg in rest):
        return NotImplemented
    in_place = kwargs.get("inplace", False)
    if in_place and state.is_shared:
        return NotImplemented
    # What the layer gave is needed again.
    kwargs = kwargs | {"inplace": False} if in_place else kwargs
    value = func(state.value, *rest, **kwargs)
    baseline = func(state.baseline.expand_as(state.value), *rest, **kwargs)
    if not in_place:
        return state.derived(value, baseline, state.keep)
    state.value, state.baseline = value, baseline
    return tensor


def _batch_norm(func: Any, tensor: AblatedTensor, rest: Any, kwargs: Any) -> Any:
    """With the statistics of training it acts on each value."""
    if kwargs.get("training", True):
        return NotImplemented
    return _of_each_value(func, tensor, rest, kwargs)


def _dropout(func: Any, tensor: AblatedTensor, rest: Any, kwargs: Any) -> Any:
    """Nothing at all in evaluation mode."""
    if rest or kwargs.get("training", True):
        return NotImplemented
    return tensor


def _of_each_channel(n_spatial: int) -> Rule:
    """Of a pooling: with a dimension less it would take channels for positions."""

    def rule(func: Any, tensor: AblatedTensor, rest: Any, kwargs: Any) -> Any:
        state = _state(tensor)
        if state.value.dim() != n_spatial + 2 or kwargs.get("return_indices", False):
            return NotImplemented
        return _channelwise(func, state, rest, kwargs)

    return rule


def _mean(func: Any, tensor: AblatedTensor, rest: Any, kwargs: Any) -> Any:
    state = _state(tensor)
    dims = kwargs.get("dim", rest[0] if rest else None)
    dims = (dims,) if isinstance(dims, int) else dims
    # Without any, or with an empty list, it is the mean of everything.
    if not dims or any(dim % state.value.dim() < 2 for dim in dims):
        return NotImplemented
    return _channelwise(func, state, rest, kwargs)


def _channelwise(func: Any, state: _State, rest: Any, kwargs: Any) -> Any:
    if state.is_computed or not state.keeps_whole_channels:
        return NotImplemented
    value = func(state.value, *rest, **kwargs)
    baseline = func(state.baseline.expand_as(state.value), *rest, **kwargs)
    return state.derived(value, baseline, _per_channel(state.keep, value))


def _per_channel(keep: Tensor, value: Tensor) -> Tensor:
    """The channels that are kept (N, C, 1, ...) with the dimensions of another value."""
    return keep.reshape(*keep.shape[:2], *[1] * (value.dim() - 2))


def _rearranged(func: Any, tensor: AblatedTensor, rest: Any, kwargs: Any) -> Any:
    state = _state(tensor)
    if state.is_computed or any(isinstance(arg, torch.dtype) for arg in rest) or kwargs:
        return NotImplemented
    value = func(state.value, *rest)
    baseline = state.baseline.expand_as(state.value).reshape(value.shape)
    if state.keeps_whole_channels and value.shape[:2] == state.value.shape[:2]:
        keep = _per_channel(state.keep, value)
    else:
        keep = state.keep.expand_as(state.value).reshape(value.shape)
    # What is written into a view shows in its base, but not what is written into a copy.
    is_view = value.data_ptr() == state.value.data_ptr()
    state.has_views = state.has_views or is_view
    return state.derived(value, baseline, keep, state if is_view else None)


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
# Those that networks have behind a last convolutional layer; any other computes the tensor.
RULES: dict[Any, Rule] = {
    **dict.fromkeys(
        (
            Tensor.size,
            Tensor.dim,
            Tensor.numel,
            Tensor.is_floating_point,
            torch.is_floating_point,
        ),
        _described,
    ),
    **dict.fromkeys(
        (F.relu, torch.relu, Tensor.relu, F.hardtanh, F.relu6, F.silu, F.hardswish, F.gelu),
        _of_each_value,
    ),
    F.batch_norm: _batch_norm,
    F.dropout: _dropout,
    **{
        pool: _of_each_channel(n_spatial)
        for n_spatial, pools in {
            1: (F.adaptive_avg_pool1d, F.adaptive_max_pool1d, F.avg_pool1d, F.max_pool1d),
            2: (F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.avg_pool2d, F.max_pool2d),
            3: (F.adaptive_avg_pool3d, F.adaptive_max_pool3d, F.avg_pool3d, F.max_pool3d),
        }.items()
        for pool in pools
    },
    **dict.fromkeys((Tensor.mean, torch.mean), _mean),
    **dict.fromkeys(
        (Tensor.flatten, torch.flatten, Tensor.reshape, torch.reshape, Tensor.view), _rearranged
    ),
}


def _rule_of(func: Any) -> Rule | None:
    # The getter of a property is a new object each time.
    if getattr(func, "__name__", "") == "__get__" and func.__self__ in _PROPERTIES:
        return _described
    return RULES.get(func)
