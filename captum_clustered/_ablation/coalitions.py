"""
Which coalitions of clusters to evaluate, and how their scores become importances.

A coalition is a set of clusters that are kept while all others are ablated. Its value is the
model's score under this ablation. Each choice of ``importance`` is an entry of ``IMPORTANCES``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

# With at most this many clusters, all 2^k coalitions are evaluated.
MAX_EXACT_CLUSTERS = 10
# Passed explicitly, because the user may have set another default device.
CPU = torch.device("cpu")


class CoalitionDesign(Protocol):
    """
    Coalitions of the K clusters of each example, and the importances from their values.

    The full and the empty coalition are not among them.
    """

    @property
    def n_clusters(self) -> int:
        """The number of clusters K."""
        ...

    @property
    def n_coalitions(self) -> int:
        """The number of coalitions M."""
        ...

    def channel_masks(self, labels: Tensor, start: int, stop: int) -> Tensor:
        """Return whether coalitions start..stop-1 keep channels of clusters ``labels`` (N, C)."""
        ...

    def ablated_sums(self, values: Tensor) -> Tensor:
        """Sum values (K, N, O) over the clusters that each coalition lacks: (M, N, O)."""
        ...

    def importances(self, changes: Tensor) -> Tensor:
        """
        Return the importances (N, K).

        ``changes`` (1 + M, N) are the values of the empty coalition and of all others, minus
        the value of the full one.
        """
        ...


@dataclass(frozen=True)
class LeaveOneOut:
    """One coalition for each cluster: all clusters but this one."""

    n_clusters: int

    @property
    def n_coalitions(self) -> int:
        """The number of clusters."""
        return self.n_clusters

    def channel_masks(self, labels: Tensor, start: int, stop: int) -> Tensor:
        """Return whether a channel is in another cluster than the one that is left out."""
        return labels != torch.arange(start, stop, device=labels.device)[:, None, None]

    def ablated_sums(self, values: Tensor) -> Tensor:
        """Return the values: each coalition lacks one cluster."""
        return values

    def importances(self, changes: Tensor) -> Tensor:
        """Return by how much the score drops without each cluster."""
        return -changes[1:].T


@dataclass(frozen=True)
class WeightedCoalitions:
    """
    Coalitions whose weighted values add up to the importances.

    Attributes:

        coalitions (Tensor): Whether a cluster is kept: bool (M, N or 1, K).
        weights (Tensor): Shape (N or 1, K, 1 + M): first the weight of the empty coalition,
                    then those of ``coalitions``. The full coalition needs none: its change is
                    0 by definition.
    """

    coalitions: Tensor
    weights: Tensor

    @property
    def n_clusters(self) -> int:
        """The number of clusters."""
        return self.coalitions.shape[2]

    @property
    def n_coalitions(self) -> int:
        """The number of coalitions."""
        return len(self.coalitions)

    def channel_masks(self, labels: Tensor, start: int, stop: int) -> Tensor:
        """Return for each channel whether its cluster is kept."""
        kept = self.coalitions[start:stop].to(labels.device, non_blocking=True)
        kept = kept.expand(-1, len(labels), -1)
        return kept.gather(2, labels.expand(len(kept), -1, -1))

    def ablated_sums(self, values: Tensor) -> Tensor:
        """Return the products of the coalitions, as zeros and ones, and the values."""
        ablated = (~self.coalitions).to(values.device, values.dtype, non_blocking=True)
        if ablated.shape[1] == 1:
            return (ablated[:, 0] @ values.flatten(1)).view(-1, *values.shape[1:])
        return torch.bmm(ablated.transpose(0, 1), values.transpose(0, 1)).transpose(0, 1)

    def importances(self, changes: Tensor) -> Tensor:
        """Return the weighted sums."""
        # Not a matrix product, which may run in TF32.
        weights = self.weights.to(changes, non_blocking=True)
        return (weights * changes.T[:, None]).sum(2)


@dataclass(frozen=True)
class Importance:
    """
    A choice of ``importance``.

    Attributes:

        name (str): Its key in ``IMPORTANCES`` and its value as an argument or option.
        label (str): Name of a value in captions, e.g. "drop".
        criterion (str): How captions describe the order of clusters.
        needs_baseline_score (bool): Whether the empty coalition must be evaluated.
        n_coalitions (Callable): Takes K and the number of permutations; returns the expected
                    number of coalitions.
        design (Callable): Takes K, a function that returns which clusters are not empty, the
                    number of permutations and the seed, as :func:`shapley` does; returns a
                    :class:`CoalitionDesign`.
        is_complete (bool): Whether all importances and the score of the empty coalition add up
                    to the score.
                    Default: False
    """

    name: str
    label: str
    criterion: str
    needs_baseline_score: bool
    n_coalitions: Callable[[int, int], int]
    design: Callable[[int, Callable[[], Tensor], int, int], CoalitionDesign]
    is_complete: bool = False


def _n_shapley(n_clusters: int, n_samples: int) -> int:
    if n_clusters <= MAX_EXACT_CLUSTERS:
        return 2**n_clusters - 2
    return n_samples * (n_clusters - 1)


def shapley(
    n_clusters: int, present: Callable[[], Tensor], n_samples: int, seed: int
) -> WeightedCoalitions:
    """
    Design the coalitions for Shapley values (Shapley 1953).

    They are exact for up to 10 non-empty clusters. Otherwise they are sampled with permutations
    and their reverses (antithetic). The permutations of an example depend only on the seed and
    on its number of non-empty clusters.

    Args:

        n_clusters (int): Number of clusters K, including empty ones.
        present (Callable): Returns which clusters are not empty, bool (N, K) on the CPU. The
                    call may wait for a GPU.
        n_samples (int): Number of permutations, including the reversed ones.
        seed (int): Seed of the permutations.
    """
    if n_clusters <= MAX_EXACT_CLUSTERS:
        return _exact(n_clusters)
    # Examples with the same non-empty clusters share a design. Usually all examples do.
    patterns, example = present().unique(dim=0, return_inverse=True)
    designs = [
        _embedded(
            _exact(len(clusters))
            if len(clusters) <= MAX_EXACT_CLUSTERS
            else _sampled(len(clusters), n_samples, seed),
            clusters,
            n_clusters,
        )
        for clusters in (pattern.nonzero().squeeze(1) for pattern in patterns)
    ]
    if len(designs) == 1:
        return designs[0]
    size = max(len(design.coalitions) for design in designs)
    designs = [_padded(designs[i], size) for i in example.tolist()]
    return WeightedCoalitions(
        torch.cat([design.coalitions for design in designs], 1),
        torch.cat([design.weights for design in designs]),
    )


IMPORTANCES: dict[str, Importance] = {
    importance.name: importance
    for importance in (
        Importance(
            "ablation",
            label="drop",
            criterion="the drop in the score without them",
            needs_baseline_score=False,
            n_coalitions=lambda n_clusters, n_samples: n_clusters,
            design=lambda n_clusters, present, n_samples, seed: LeaveOneOut(n_clusters),
        ),
        Importance(
            "shapley",
            label="Shapley value",
            criterion="their Shapley value",
            needs_baseline_score=True,
            n_coalitions=_n_shapley,
            design=shapley,
            is_complete=True,
        ),
    )
}


def _exact(n: int) -> WeightedCoalitions:
    codes = torch.arange(1, 2**n - 1, device=CPU)
    kept = (codes[:, None] >> torch.arange(n, device=CPU)) & 1 == 1
    # The weight of the step from a coalition S to S and one more cluster, by |S|:
    # |S|! (n - |S| - 1)! / n!
    by_size = [1 / (n * math.comb(n - 1, size)) for size in range(n)]
    step = torch.tensor(by_size, dtype=torch.float64, device=CPU)
    size = kept.sum(1, keepdim=True)
    # Added for a cluster in S, by the step to S; subtracted for the others, by the step from S.
    signed = torch.where(kept, step[(size - 1).clamp(min=0)], -step[size])
    empty = -step[:1].expand(n, 1)
    return WeightedCoalitions(kept[:, None], torch.cat([empty, signed.T], 1)[None])


def _sampled(n: int, n_samples: int, seed: int) -> WeightedCoalitions:
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        torch.randperm(n, generator=generator, device=CPU) for _ in range((n_samples + 1) // 2)
    ]
    orders = torch.stack([order for one in drawn for order in (one, one.flip(0))][:n_samples])
    # In the order (2, 0, 1), cluster 2 joins at step 0, cluster 0 at step 1: steps (1, 2, 0).
    # The step at which a cluster joins those before it, (L, 1, n); coalition p of an order has
    # made the steps 0..p. The full coalition is none of them and needs no weight.
    step = orders.argsort(1)[:, None]
    steps = torch.arange(n - 1, device=CPU)[:, None]
    signed = (step == steps).double() - (step == steps + 1).double()
    empty = -(step == 0).double().sum(0)
    weights = torch.cat([empty, signed.flatten(0, 1)]).T / len(orders)
    return WeightedCoalitions((step <= steps).flatten(0, 1)[:, None], weights[None])


def _embedded(design: WeightedCoalitions, clusters: Tensor, n_clusters: int) -> WeightedCoalitions:
    """Extend a design of some clusters to all: the others are kept and have importance 0."""
    n_coalitions, n_weights = len(design.coalitions), design.weights.shape[2]
    kept = torch.ones(n_coalitions, 1, n_clusters, dtype=torch.bool, device=CPU)
    kept[:, :, clusters] = design.coalitions
    weights = torch.zeros(1, n_clusters, n_weights, dtype=design.weights.dtype, device=CPU)
    weights[:, clusters] = design.weights
    return WeightedCoalitions(kept, weights)


def _padded(design: WeightedCoalitions, size: int) -> WeightedCoalitions:
    """Append full coalitions of weight 0."""
    extra = size - len(design.coalitions)
    kept = torch.nn.functional.pad(design.coalitions, (0, 0, 0, 0, 0, extra), value=True)
    return WeightedCoalitions(kept, torch.nn.functional.pad(design.weights, (0, extra)))
