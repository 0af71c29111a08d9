"""Ablated tensors that are computed only when the model mixes their channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_clustered._ablation.batches import are_plain_parameters
from captum_clustered._ablation.evaluations import ChannelAblation
from captum_clustered._ablation.memory_cap import SizeLimit
from captum_clustered._ablation.single_pass.convolutions import Convolution
from captum_clustered._ablation.single_pass.lazy_base import LazyTensor, Rule, check_size, state_of
from captum_clustered._ablation.single_pass.lazy_convolution import convolution_of_ablated
from captum_clustered._ablation.single_pass.lazy_linear import linear


@dataclass
class _State:
    """
    The data of a lazy tensor, whose channels have ``value`` or, if ablated, ``baseline``.

    Attributes:

        value (Tensor): Without ablation, the same for all evaluations. Its elements are in the
                    order of (N, C, positions), also if it was reshaped.
        baseline (Tensor): With everything ablated; broadcasts to ``value``.
        ablation (ChannelAblation): The ablated channels. Only this differs between evaluations.
        limit (SizeLimit): The maximum size of ``value`` when the tensor is computed.
        base (_State or None): The tensor that this one is a view of.
        computed (Tensor or None): The values, once they were needed.
        has_views (bool): Whether another tensor is a view of this one.
    """

    value: Tensor
    baseline: Tensor
    ablation: ChannelAblation
    limit: SizeLimit
    base: _State | None = None
    computed: Tensor | None = None
    has_views: bool = False

    @property
    def like(self) -> Tensor:
        return self.value if self.computed is None else self.computed

    @property
    def is_computed(self) -> bool:
        """Whether the values exist; the model may have written into them."""
        return self.computed is not None or (self.base is not None and self.base.is_computed)

    @property
    def is_shared(self) -> bool:
        """Whether another tensor shares its memory."""
        return self.base is not None or self.has_views

    @property
    def has_whole_channels(self) -> bool:
        """Whether dimension 1 holds the channels and those behind it their positions."""
        return self.value.shape[:2] == self.ablation.evaluations.labels.shape[1:]

    def derived(
        self, value: Tensor, baseline: Tensor, base: _State | None = None
    ) -> LazyAblatedTensor:
        made: LazyAblatedTensor = LazyAblatedTensor.of(
            _State(value, baseline, self.ablation, self.limit, base)
        )
        return made

    def materialize(self) -> Tensor:
        if self.computed is None and self.base is not None:
            self.computed = self.base.materialize().view(self.value.shape)
        elif self.computed is None:
            check_size(self.value, self.limit)
            self.computed = torch.where(self._mask(), self.value, self.baseline)
        return self.computed

    def _mask(self) -> Tensor:
        mask = self.ablation.mask()
        if self.has_whole_channels:
            return mask.view(*mask.shape, *[1] * (self.value.dim() - 2))
        n_positions = self.value.numel() // mask.numel()
        return mask[..., None].expand(-1, -1, n_positions).reshape(self.value.shape)


class LazyAblatedTensor(LazyTensor):
    r"""
    The layer's tensor with channels ablated, computed when it is needed.

    Ablation replaces whole channels, pooling acts on each channel and an activation on each
    value, so f(where(mask, A, B)) = where(mask, f(A), f(B)). The right side needs f twice, the
    left side once for each ablation. A lazy tensor holds A, B and the ablation, and applies such
    functions to A and B. A linear layer makes a :class:`LinearOfAblated
    <captum_clustered._ablation.single_pass.lazy_linear.LinearOfAblated>` and a convolution of
    images a :class:`ConvolutionOfAblated
    <captum_clustered._ablation.single_pass.lazy_convolution.ConvolutionOfAblated>`. Any other
    function that mixes channels gets the computed tensor. If a linear layer follows on a global
    pooling, as behind a last layer, the ablated feature maps are never computed.

    A reshaped lazy tensor is a view: both are computed together, in the same memory.
    """

    rules: ClassVar[dict[Any, Rule]] = {}


def lazy_ablated(
    value: Tensor, baseline: Tensor, ablation: ChannelAblation, limit: SizeLimit
) -> LazyAblatedTensor:
    """
    Return ``value`` with the baseline in ablated channels, as a lazy tensor.

    Value and baseline are (N, C, *spatial) or broadcast to it. A tensor larger than the limit
    raises CannotBeLazyError when it is needed.
    """
    made: LazyAblatedTensor = LazyAblatedTensor.of(_State(value, baseline, ablation, limit))
    return made


def _elementwise(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    if any(isinstance(arg, LazyTensor) for arg in rest):
        return NotImplemented
    in_place = kwargs.get("inplace", False)
    # Not in place: the layer's own tensor is needed again.
    kwargs = kwargs | {"inplace": False} if in_place else kwargs
    return _for_each_value(lambda t: func(t, *rest, **kwargs), tensor, in_place)


def _plus(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    """Add what is the same in all evaluations, such as a residual connection's input."""
    like = state_of(tensor).value
    is_known = len(rest) == 1 and not kwargs and isinstance(rest[0], Tensor)
    if not is_known or not are_plain_parameters(rest[0]):
        return NotImplemented
    if rest[0].dtype != like.dtype or rest[0].shape != like.shape:
        return NotImplemented
    return _for_each_value(lambda t: t + rest[0], tensor, func is Tensor.add_)


def _for_each_value(
    function: Callable[[Tensor], Tensor], tensor: LazyTensor, in_place: bool
) -> Any:
    state: _State = state_of(tensor)
    if state.is_computed or (in_place and state.is_shared):
        return NotImplemented
    value, baseline = function(state.value), function(state.baseline.expand_as(state.value))
    if not in_place:
        return state.derived(value, baseline)
    state.value, state.baseline = value, baseline
    return tensor


def _batch_norm(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    """With running statistics, batch normalization acts on each value."""
    if kwargs.get("training", True):
        return NotImplemented
    return _elementwise(func, tensor, rest, kwargs)


def _dropout(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    """In evaluation mode, dropout does nothing."""
    if rest or kwargs.get("training", True):
        return NotImplemented
    return tensor


def _pooling(n_spatial: int) -> Rule:
    """Make the rule of a pooling. It would pool over the channels of an unbatched tensor."""

    def rule(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
        state: _State = state_of(tensor)
        if state.value.dim() != n_spatial + 2 or kwargs.get("return_indices", False):
            return NotImplemented
        return _channelwise(func, state, rest, kwargs)

    return rule


def _mean(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    state: _State = state_of(tensor)
    dims = kwargs.get("dim", rest[0] if rest else None)
    dims = (dims,) if isinstance(dims, int) else dims
    # Without dim, or with an empty list, the mean is over all dimensions.
    if not dims or any(dim % state.value.dim() < 2 for dim in dims):
        return NotImplemented
    return _channelwise(func, state, rest, kwargs)


def _channelwise(func: Any, state: _State, rest: Any, kwargs: Any) -> Any:
    if state.is_computed or not state.has_whole_channels:
        return NotImplemented
    value = func(state.value, *rest, **kwargs)
    return state.derived(value, func(state.baseline.expand_as(state.value), *rest, **kwargs))


def _reshaped(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    state: _State = state_of(tensor)
    if state.is_computed or any(isinstance(arg, torch.dtype) for arg in rest) or kwargs:
        return NotImplemented
    value = func(state.value, *rest)
    baseline = state.baseline.expand_as(state.value).reshape(value.shape)
    # Writing into a view changes its base; writing into a copy does not.
    is_view = value.data_ptr() == state.value.data_ptr()
    state.has_views = state.has_views or is_view
    return state.derived(value, baseline, state if is_view else None)


def _linear(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    state: _State = state_of(tensor)
    if state.is_computed:
        return NotImplemented
    return linear(func, state.value, state.baseline, state.ablation, state.limit, *rest, **kwargs)


def _convolution(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    state: _State = state_of(tensor)
    convolution = Convolution.of(*rest, **kwargs)
    if convolution is None or state.is_computed or not state.has_whole_channels:
        return NotImplemented
    if convolution.output_shape(state.value.shape) is None:
        return NotImplemented
    if convolution.groups == len(convolution.weight) == state.value.shape[1]:
        return _channelwise(func, state, rest, kwargs)
    if torch.is_grad_enabled():
        return NotImplemented
    more = (state.ablation, state.limit)
    if convolution.is_linear and state.value.shape[2:] == (1, 1):
        weight = convolution.weight.flatten(1)
        pair = (state.value.flatten(1), state.baseline.expand_as(state.value).flatten(1))
        found = linear(F.linear, *pair, *more, weight, convolution.bias)
        return NotImplemented if found is NotImplemented else found[..., None, None]
    return convolution_of_ablated(convolution, state.value, state.baseline, *more)


# The functions that usually follow a last convolutional layer. Others get computed tensors.
_RULES: dict[Any, Rule] = {
    **dict.fromkeys(
        (F.relu, torch.relu, Tensor.relu, F.hardtanh, F.relu6, F.silu, F.hardswish, F.gelu),
        _elementwise,
    ),
    F.batch_norm: _batch_norm,
    F.dropout: _dropout,
    F.linear: _linear,
    torch.conv2d: _convolution,
    **dict.fromkeys((torch.add, Tensor.add, Tensor.add_), _plus),
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
LazyAblatedTensor.rules |= _RULES
