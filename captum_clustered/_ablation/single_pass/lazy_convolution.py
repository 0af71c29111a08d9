"""The convolution behind an ablation, computed from the ablated channels only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from captum_clustered._ablation.evaluations import ChannelAblation
from captum_clustered._ablation.memory_cap import SizeLimit
from captum_clustered._ablation.single_pass.convolutions import Convolution, scale_and_shift
from captum_clustered._ablation.single_pass.lazy_base import (
    CannotBeLazyError,
    LazyTensor,
    Rule,
    check_size,
    n_writes,
    state_of,
)

# With a larger part of ablated channels, they hardly cost less than a convolution of all channels.
MAX_ABLATED = 0.25
# With fewer multiplications per example, a convolution takes less time than to choose channels.
MIN_MULTIPLICATIONS = 2**22
DTYPES = (torch.float32, torch.float64)


@dataclass
class _State:
    """
    The data of a lazy tensor conv(x) - sum of conv_c(x_c - baseline_c) over ablated channels c.

    Attributes:

        unablated (Tensor): conv(x), shape (N, O, h, w).
        difference (Tensor): x - baseline, shape (N, C, H, W).
        convolution (Convolution): The convolution of the difference, without a bias.
        ablation (ChannelAblation): The ablated channels.
        limit (SizeLimit): The maximum size of the tensor when it is computed.
        computed (Tensor or None): The values, once they were needed.
    """

    unablated: Tensor
    difference: Tensor
    convolution: Convolution
    ablation: ChannelAblation
    limit: SizeLimit
    computed: Tensor | None = None

    def __post_init__(self) -> None:
        self._n_writes = n_writes(self.convolution.weight)

    @property
    def like(self) -> Tensor:
        return self.unablated if self.computed is None else self.computed

    def materialize(self) -> Tensor:
        if self.computed is None:
            # As if the ablated layer were computed. What follows on it has a bound of its own.
            check_size(self.difference, self.limit)
            self.check_weight()
            values = self._of_all_evaluations().mT.unflatten(3, self.unablated.shape[2:])
            self.computed = self.ablation.current(values)
        return self.computed

    def check_weight(self) -> None:
        """Raise CannotBeLazyError if the weight is not the one that the model used."""
        if n_writes(self.convolution.weight) != self._n_writes:
            raise CannotBeLazyError("The model has written into the weight.")

    def _of_all_evaluations(self) -> Tensor:
        """Return the values, (M, N, h w, O): channels are last, as is fastest behind it."""
        is_ablated = ~self.ablation.evaluations.masks()
        unablated = self.unablated.flatten(2).mT.contiguous()
        values = unablated.new_empty(len(is_ablated), *unablated.shape)
        # vmap and modes would add half of the time to the many small operations.
        with temporarily_clear_interpreter_stack(), torch._C._DisableTorchDispatch():
            self._fill(values, unablated, is_ablated)
        return values

    def _fill(self, values: Tensor, unablated: Tensor, is_ablated: Tensor) -> None:
        kernels = self.convolution.kernels()
        for example, image in enumerate(self.difference):
            patches = self.convolution.patches(image)
            rows = is_ablated[:, example]
            parts = rows.nonzero()[:, 1].split(rows.sum(1).tolist())
            for value, channels in zip(values[:, example], parts, strict=True):
                left, right = (
                    factor.index_select(0, channels).flatten(0, 1) for factor in (patches, kernels)
                )
                torch.addmm(unablated[example], left.T, right, alpha=-1, out=value)


class ConvolutionOfAblated(LazyTensor):
    r"""
    The output of the first convolution behind an ablation, computed when it is needed.

    When channels take the baseline's values, the output of a convolution changes by the sum of
    their own convolutions of x - baseline. If each evaluation ablates one cluster, all
    evaluations together cost one convolution instead of one each. A batch normalization in
    evaluation mode scales the weights.

    Rounding is that of the unablated output, as in
    :class:`LinearOfAblated <captum_clustered._ablation.single_pass.lazy_linear.LinearOfAblated>`.
    """

    rules: ClassVar[dict[Any, Rule]] = {}


def convolution_of_ablated(
    convolution: Convolution,
    value: Tensor,
    baseline: Tensor,
    ablation: ChannelAblation,
    limit: SizeLimit,
) -> Any:
    """
    Return the lazy output for ablated values (N, C, H, W).

    Returns NotImplemented if it would not be faster than the convolution itself.
    """
    # On a GPU, the number of channels in each cluster would have to be waited for.
    is_known = value.device.type == "cpu" and value.dtype in DTYPES and convolution.groups == 1
    shape = convolution.output_shape(value.shape)
    if not is_known or shape is None or torch.is_autocast_enabled("cpu"):
        return NotImplemented
    n_multiplications = convolution.weight.numel() * math.prod(shape[2:])
    is_ablated = ~ablation.evaluations.masks()
    if (
        n_multiplications < MIN_MULTIPLICATIONS
        or is_ablated.sum() > MAX_ABLATED * is_ablated.numel()
    ):
        return NotImplemented
    unablated = convolution(value)
    return ConvolutionOfAblated.of(
        _State(unablated, value - baseline, convolution, ablation, limit)
    )


def _batch_norm(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    """With running statistics, it multiplies and adds."""
    state: _State = state_of(tensor)
    found = scale_and_shift(*rest, **kwargs)
    if state.computed is not None or found is None:
        return NotImplemented
    state.check_weight()
    scaled = state.convolution.scaled(*found)
    unablated = func(state.unablated, *rest, **kwargs)
    return ConvolutionOfAblated.of(
        _State(unablated, state.difference, scaled, state.ablation, state.limit)
    )


ConvolutionOfAblated.rules[F.batch_norm] = _batch_norm
