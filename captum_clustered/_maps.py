"""From the scores of all ablations to attributions and clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from captum._utils.common import _format_output
from torch import Tensor

from captum_clustered._ablation.hooks import Tensors
from captum_clustered._ablation.precision import without_autocast
from captum_clustered._ablation.request import Evaluation
from captum_clustered._clustering.features import channel_first, positions
from captum_clustered._clustering.membership import cluster_sums, membership
from captum_clustered.clusters import Clusters


@dataclass(frozen=True)
class Scaling:
    """
    A choice of ``scaling``: how the importances of clusters become weights of channels.

    The attribution of a channel is its weight times its map. With A the layer's tensor and B
    the baseline, the map is made of the difference D = A - B.

    Attributes:

        name (str): Its key in ``SCALINGS``, as arguments and options take it.
        unit (str): What an attribution's values are, as captions say it.
        is_additive (bool): Whether an attribution sums to the importances. Then it is in units
                    of the score, and it has a convergence delta.
        channel_maps (Callable): Takes D of any shape; returns the channels' maps.
        channel_weights (Callable): Takes maps (N, C, *spatial), labels (N, C) and importances
                    (N, K); returns weights (N, C).
    """

    name: str
    unit: str
    is_additive: bool
    channel_maps: Callable[[Tensor], Tensor]
    channel_weights: Callable[[Tensor, Tensor, Tensor], Tensor]


def _density_weights(maps: Tensor, labels: Tensor, importances: Tensor) -> Tensor:
    mass = cluster_sums(positions(maps).sum(2), labels, importances.shape[1])
    # Without mass nothing was ablated, so there is no importance to spread.
    density = torch.where(mass > 0, importances / mass, 0)
    return _drop_weights(maps, labels, density)


def _drop_weights(maps: Tensor, labels: Tensor, importances: Tensor) -> Tensor:
    return importances.to(maps.dtype).gather(1, labels)


SCALINGS: dict[str, Scaling] = {
    scaling.name: scaling
    for scaling in (
        Scaling(
            "density",
            unit="share of the score",
            is_additive=True,
            channel_maps=torch.abs,
            channel_weights=_density_weights,
        ),
        Scaling(
            "drop",
            unit="importance x activation",
            is_additive=False,
            channel_maps=lambda difference: difference,
            channel_weights=_drop_weights,
        ),
    )
}


def difference(value: Tensor, baseline: Tensor) -> Tensor:
    """Return D = A - B, at least float32: in half precision it can be all rounding."""
    wide = torch.promote_types(value.dtype, torch.float32)
    return value.to(wide) - baseline.to(wide)


class Result:
    """
    Attributions, completeness and clusters of an evaluation.

    Attributes:

        importance (Importance): What the clusters' importances are.
        n_runs (int): Number of clusterings whose attributions are averaged.

    Args:

        evaluation (Evaluation): The scores of a layer's ablations.
        scaling (Scaling): How importances become weights.
    """

    def __init__(self, evaluation: Evaluation, scaling: Scaling) -> None:
        self._scores = evaluation.scores
        ablation = evaluation.ablation
        self._has_empty = ablation.has_empty
        self.importance = ablation.importance
        self.n_runs = len(ablation.designs)
        importances = ablation.importances(self._scores)
        first = 0
        self._parts: list[_TensorPart] = []
        for value, baseline, labels, n_clusters in zip(
            ablation.values, ablation.baselines, ablation.labels, ablation.n_clusters, strict=True
        ):
            maps = scaling.channel_maps(difference(value, baseline))
            self._parts.append(
                _TensorPart(
                    channel_first(maps, ablation.channel_dim),
                    labels - first,
                    importances[:, :, first : first + n_clusters],
                    scaling,
                    value.dtype,
                )
            )
            first += n_clusters

    def attributions(self, attr_dim_summation: bool) -> Tensors:
        """Attributions (N, 1 or C, *spatial) for each tensor of the layer, before ReLU."""
        return tuple(part.attribution(attr_dim_summation) for part in self._parts)

    def delta(self) -> Tensor:
        """Completeness: sum of the attribution minus f(A) - f(B), shape (N,)."""
        total = sum(part.total() for part in self._parts)
        return total - (self._scores[0] - self._scores[1])

    def clusters(self) -> Clusters:
        """
        The clusters of the first run.

        Its ``baseline_score`` is NaN where the evaluation has no empty coalition.
        """

        def packed(values: list[Tensor]) -> Any:
            return _format_output(len(values) > 1, tuple(values))

        return Clusters(
            labels=packed([part.labels[0] for part in self._parts]),
            importances=packed([part.importances[0] for part in self._parts]),
            maps=packed([part.cluster_maps() for part in self._parts]),
            sizes=packed([part.sizes[0] for part in self._parts]),
            score=self._scores[0],
            baseline_score=self._scores[1]
            if self._has_empty
            else torch.full_like(self._scores[0], torch.nan),
        )


class _TensorPart:
    """The share of one of the layer's tensors."""

    def __init__(
        self,
        maps: Tensor,
        labels: Tensor,
        importances: Tensor,
        scaling: Scaling,
        dtype: torch.dtype,
    ) -> None:
        self._maps = maps
        self._dtype = dtype
        # Fixed labels are one row for all examples, which a user may want to edit.
        self.labels = labels.contiguous()
        n_clusters = importances.shape[2]
        ones = torch.ones_like(labels[0])
        self.sizes = torch.stack([cluster_sums(ones, run, n_clusters) for run in labels])
        # An empty cluster's ablation changes nothing but, at most, the rounding.
        self.importances = torch.where(self.sizes > 0, importances, 0)
        self._weights = [
            scaling.channel_weights(maps, run, values)
            for run, values in zip(self.labels, self.importances, strict=True)
        ]
        self._mean_weights = torch.stack(self._weights).mean(0)

    def attribution(self, attr_dim_summation: bool) -> Tensor:
        channels = _spread(self._mean_weights, self._maps)
        summed = channels.sum(1, keepdim=True) if attr_dim_summation else channels
        return summed.to(self._dtype).contiguous()

    def total(self) -> Tensor:
        return _spread(self._mean_weights, self._maps).flatten(1).sum(1)

    def cluster_maps(self) -> Tensor:
        member = membership(self.labels[0], self.sizes.shape[2])
        weights = member * self._weights[0][:, None]
        with without_autocast(self._maps):
            maps = weights.to(self._maps.dtype) @ positions(self._maps)
        return maps.view(*weights.shape[:2], *self._maps.shape[2:])


def _spread(weights: Tensor, maps: Tensor) -> Tensor:
    """Each channel's map times its weight: (N, C, *spatial)."""
    return weights.view(*weights.shape, *[1] * (maps.dim() - 2)) * maps
