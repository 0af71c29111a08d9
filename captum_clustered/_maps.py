"""From the scores of all ablations to what the user asked for."""

from __future__ import annotations

from typing import Any

import torch
from captum._utils.common import _format_output
from torch import Tensor

from captum_clustered._ablation.coalitions import LeaveOneOut
from captum_clustered._ablation.hooks import Tensors
from captum_clustered._ablation.precision import without_autocast
from captum_clustered._ablation.request import Evaluation
from captum_clustered._clustering.features import channel_first, positions
from captum_clustered._clustering.membership import (
    channel_maps,
    channel_weights,
    cluster_sums,
    membership,
    spread,
)
from captum_clustered.clusters import Clusters


class Result:
    """
    Attributions, completeness and clusters of an evaluation.

    Attributes:

        importance (str): "ablation" or "shapley".
        n_runs (int): Number of clusterings whose attributions are averaged.

    Args:

        evaluation (Evaluation): The scores of a layer's ablations.
        scaling (str): "density" or "drop".
    """

    def __init__(self, evaluation: Evaluation, scaling: str) -> None:
        self._scores = evaluation.scores
        ablation = evaluation.ablation
        self._has_empty = ablation.has_empty
        self.importance = "ablation" if isinstance(ablation.games[0], LeaveOneOut) else "shapley"
        self.n_runs = len(ablation.games)
        importances = ablation.importances(self._scores)
        first = 0
        self._parts: list[_TensorPart] = []
        for value, baseline, labels, n_clusters in zip(
            ablation.values, ablation.baselines, ablation.labels, ablation.n_clusters, strict=True
        ):
            maps = channel_maps(value, baseline, scaling)
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
        scaling: str,
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
            channel_weights(maps, run, values, scaling)
            for run, values in zip(self.labels, self.importances, strict=True)
        ]
        self._mean_weights = torch.stack(self._weights).mean(0)

    def attribution(self, attr_dim_summation: bool) -> Tensor:
        channels = spread(self._mean_weights, self._maps)
        summed = channels.sum(1, keepdim=True) if attr_dim_summation else channels
        return summed.to(self._dtype).contiguous()

    def total(self) -> Tensor:
        return spread(self._mean_weights, self._maps).flatten(1).sum(1)

    def cluster_maps(self) -> Tensor:
        member = membership(self.labels[0], self.sizes.shape[2])
        weights = member * self._weights[0][:, None]
        with without_autocast(self._maps):
            maps = weights.to(self._maps.dtype) @ positions(self._maps)
        return maps.view(*weights.shape[:2], *self._maps.shape[2:])
