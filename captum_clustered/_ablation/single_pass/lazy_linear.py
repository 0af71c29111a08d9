"""The linear layer behind an ablation, computed from partial sums by cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_clustered._ablation.batches import are_plain_parameters
from captum_clustered._ablation.evaluations import ChannelAblation
from captum_clustered._ablation.memory_cap import SizeLimit
from captum_clustered._ablation.model_state.torch_settings import without_autocast
from captum_clustered._ablation.single_pass.lazy_base import (
    CannotBeLazyError,
    LazyTensor,
    Rule,
    check_size,
    n_writes,
    state_of,
)
from captum_clustered._clustering.cluster_sums import cluster_sums
from captum_clustered._clustering.features import at_least_float32

# Terms that are computed at a time. A CPU should have them in its cache when they are added up.
MAX_TERMS = 2**18
MAX_TERMS_ON_GPU = 2**24
# Up to this number of clusters, a product of the weights and each cluster's channels is faster than
# adding up the terms of each channel.
MAX_PRODUCTS = 32


@dataclass
class _State:
    """
    The data of a lazy tensor W x + b - sum of W_c (x_c - baseline_c) over ablated channels c.

    Attributes:

        unablated (Tensor): W x + b, shape (N, O).
        difference (Tensor): x - baseline, shape (N, F), where each channel has F / C columns.
        weight (Tensor): W, shape (O, F).
        ablation (ChannelAblation): The ablated channels.
        limit (SizeLimit): The maximum size of the tensor when it is computed.
        n_writes (int or None): Number of writes into the weight.
        is_final (bool): Whether nothing writes into the tensor or its views any more.
        computed (Tensor or None): The values, once they were needed.
    """

    unablated: Tensor
    difference: Tensor
    weight: Tensor
    ablation: ChannelAblation
    limit: SizeLimit
    n_writes: int | None
    is_final: bool = False
    computed: Tensor | None = None

    @property
    def like(self) -> Tensor:
        return self.unablated if self.computed is None else self.computed

    def materialize(self) -> Tensor:
        if self.computed is None:
            check_size(self.unablated, self.limit)
            with without_autocast(self.difference):
                self.computed = self._without(self.unablated, self._cluster_sums())
        return self.computed

    def rows(self, unablated: Tensor, weight: Tensor) -> Tensor:
        """Return one output for each example, of weights (F,) or (N, F)."""
        with without_autocast(weight):
            terms = (self.difference * weight).view(len(self.difference), -1, self._width).sum(2)
            evaluations = self.ablation.evaluations
            sums = [
                cluster_sums(terms, labels, design.n_clusters).T[..., None]
                for labels, design in zip(evaluations.labels, evaluations.designs, strict=True)
            ]
            return self._without(unablated, sums)

    @property
    def _width(self) -> int:
        """Columns of each channel."""
        return self.difference.shape[1] // self.ablation.n_channels

    def _without(self, unablated: Tensor, sums: Sequence[Tensor]) -> Tensor:
        if n_writes(self.weight) != self.n_writes:
            raise CannotBeLazyError("The model has written into the weight.")
        ablated = self.ablation.ablated_sum(sums)
        return (unablated - ablated.view(unablated.shape)).to(unablated.dtype)

    def _cluster_sums(self) -> list[Tensor]:
        evaluations = self.ablation.evaluations
        n_clusters = sum(design.n_clusters for design in evaluations.designs)
        if self._width == 1 and n_clusters <= MAX_PRODUCTS:
            weight = self.weight.to(self.difference.dtype)
            return [F.linear(part, weight) for part in evaluations.split(self.difference)]
        return evaluations.cluster_sums(self._terms())

    def _terms(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the terms of some channels at a time, (c, N, O)."""
        shape = (-1, self.ablation.n_channels, self._width)
        # With P positions for each channel: (C, N, P) and (C, P, O).
        left = self.difference.view(shape).transpose(0, 1)
        right = self.weight.view(shape).permute(1, 2, 0)
        step = max(1, MAX_TERMS // self.unablated.numel())
        if left.device.type != "cpu":
            # There, each term is multiplied by whether its channel is in a cluster.
            designs = self.ablation.evaluations.designs
            n_clusters = max(design.n_clusters for design in designs)
            n_outputs = max(self.unablated.shape[1], n_clusters)
            step = max(1, MAX_TERMS_ON_GPU // (n_outputs * len(self.unablated)))
        for start in range(0, self.ablation.n_channels, step):
            channels = slice(start, start + step)
            part = right[channels].to(left.dtype)
            if self._width == 1:
                # Several times faster than the matrix product, which copies each column.
                yield channels, left[channels] * part.contiguous()
            else:
                yield channels, torch.bmm(left[channels], part)


class LinearOfAblated(LazyTensor):
    r"""
    The output of the first linear layer behind an ablation, computed when it is needed.

    The linear layer is W x + b. When the channels of a cluster take the baseline's values, its
    output changes by the sum of W_c (baseline_c - x_c) over these channels. All evaluations are
    computed from such sums, one for each cluster, instead of one product with W for each
    evaluation. If only one output of each example is asked for at the end, the others are not
    computed.

    The unablated output is what the layer itself returns. The rounding of an ablated output is
    that of the unablated one, since it is a difference of both: it is small in relation to the
    sum of abs(W_c x_c), as with any sum, and not always in relation to the difference.
    """

    rules: ClassVar[dict[Any, Rule]] = {}


def linear(
    func: Any,
    value: Tensor,
    baseline: Tensor,
    ablation: ChannelAblation,
    limit: SizeLimit,
    weight: Tensor,
    bias: Tensor | None = None,
) -> Any:
    """
    Return the lazy output of a linear layer for ablated values (N, F).

    Returns NotImplemented if the weights are not plain (N, F) or gradients are needed.
    """
    if not are_plain_parameters(weight, bias) or value.dim() != 2 or torch.is_grad_enabled():
        return NotImplemented
    unablated = func(value, weight, bias)
    difference = at_least_float32(value) - at_least_float32(baseline)
    return LinearOfAblated.of(
        _State(unablated, difference, weight, ablation, limit, n_writes(weight))
    )


def final(tensor: LinearOfAblated) -> Tensor:
    """Return the tensor for reading only: one that computes just the outputs that are read."""
    state: _State = state_of(tensor)
    if state.computed is not None:
        return state.computed
    state.is_final = True
    return tensor


def _column(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    """Return ``tensor[:, column]``; otherwise it would be a view, into which one may write."""
    state: _State = state_of(tensor)
    index = rest[0]
    is_column = isinstance(index, tuple) and len(index) == 2 and index[0] == slice(None)
    if not state.is_final or not is_column or type(index[1]) is not int:
        return NotImplemented
    return state.rows(func(state.unablated, index), state.weight[index[1]])


def _gather(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    """Return one output for each example."""
    state: _State = state_of(tensor)
    if state.computed is not None or kwargs or len(rest) != 2 or rest[0] != 1:
        return NotImplemented
    index = rest[1]
    if isinstance(index, LazyTensor) or index.shape != (len(state.unablated), 1):
        return NotImplemented
    return state.rows(func(state.unablated, 1, index), state.weight[index[:, 0]])


LinearOfAblated.rules |= {
    Tensor.__getitem__: _column,
    torch.gather: _gather,
    Tensor.gather: _gather,
}
