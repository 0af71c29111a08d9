"""Compute attributions and clusters from the scores of all ablations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from captum._utils.common import _format_output
from torch import Tensor

from captum_clustered._ablation.evaluate import evaluate
from captum_clustered._ablation.hooks import Tensors
from captum_clustered._ablation.request import AblationScores
from captum_clustered._clustering.cluster_sums import cluster_sums
from captum_clustered._clustering.features import at_least_float32, channel_first
from captum_clustered._scalings import SCALINGS, Scaling
from captum_clustered._subclasses import like
from captum_clustered.clusters import Clusters

if TYPE_CHECKING:
    from captum_clustered.clustered_layer_cam import ClusteredLayerCAM


def difference(value: Tensor, baseline: Tensor) -> Tensor:
    """Return D = A - B in float32 at least, because half precision may round it to 0."""
    return at_least_float32(value) - at_least_float32(baseline)


def cluster_attribution(cam: ClusteredLayerCAM, *args: Any, **kwargs: Any) -> ClusterAttribution:
    """
    Return the result of ``cam.attribute`` before it is formatted.

    Takes the arguments of :func:`evaluate <captum_clustered._ablation.evaluate.evaluate>`.
    """
    return ClusterAttribution(evaluate(cam, *args, **kwargs), SCALINGS[cam.scaling])


class ClusterAttribution:
    """
    Attributions, their convergence delta and clusters from the scores of all ablations.

    ``importance`` says how importances were measured, ``n_clusterings`` how many clusterings the
    attributions are the means over.
    """

    def __init__(self, evaluated: AblationScores, scaling: Scaling) -> None:
        plan = evaluated.plan
        self.importance = plan.importance
        self.n_clusterings = len(plan.designs)
        self._evaluated = evaluated
        importances = plan.importances(evaluated.scores)
        first = 0
        self._parts: list[_TensorPart] = []
        for layer_tensor, value, baseline, labels, n_clusters in zip(
            plan.layer_tensors,
            plan.values,
            plan.baselines,
            plan.labels,
            plan.n_clusters,
            strict=True,
        ):
            maps = scaling.channel_maps(difference(value, baseline))
            self._parts.append(
                _TensorPart(
                    channel_first(maps, plan.channel_dim),
                    labels - first,
                    importances[:, :, first : first + n_clusters],
                    scaling,
                    channel_first(layer_tensor, plan.channel_dim),
                )
            )
            first += n_clusters

    def attributions(
        self, attr_dim_summation: bool = True, relu_attributions: bool = False
    ) -> Tensors:
        """
        Return (N, 1 or C, *spatial) for each tensor that the layer returns.

        Raises ValueError if they are not finite because the layer, a baseline or a score is not.
        """
        # A tensor in two places gets two attributions, which do not share memory.
        places = self._evaluated.plan.places
        attributions = tuple(self._parts[i].attribution(attr_dim_summation) for i in places)
        if not all(torch.isfinite(attribution).all() for attribution in attributions):
            self._evaluated.check_finite()
        if relu_attributions:
            attributions = tuple(attribution.relu() for attribution in attributions)
        return attributions

    def delta(self) -> Tensor:
        """Return the sum of the attribution minus f(A) - f(B), shape (N,)."""
        scores = self._evaluated.scores
        totals = (part.total().to(scores.device) for part in self._parts)
        return sum(totals) - (scores[0] - scores[1])

    def clusters(self) -> Clusters:
        """Return the clusters of the first clustering; a score that was not evaluated is NaN."""

        def packed(values: list[Tensor]) -> Any:
            return _format_output(len(values) > 1, tuple(values))

        scores = self._evaluated.scores
        return Clusters(
            labels=packed([part.labels[0] for part in self._parts]),
            importances=packed([part.importances[0] for part in self._parts]),
            maps=packed([part.cluster_maps() for part in self._parts]),
            sizes=packed([part.sizes[0] for part in self._parts]),
            score=scores[0],
            baseline_score=scores[1]
            if self._evaluated.plan.with_baseline_score
            else torch.full_like(scores[0], torch.nan),
        )


class _TensorPart:
    """The attribution of one of the layer's tensors."""

    def __init__(
        self,
        maps: Tensor,
        labels: Tensor,
        importances: Tensor,
        scaling: Scaling,
        layer_tensor: Tensor,
    ) -> None:
        self._maps = maps
        self._layer_tensor = layer_tensor
        # Fixed labels are one row in memory for all examples; a user may want to edit a copy.
        self.labels = labels.contiguous()
        n_clusters = importances.shape[2]
        ones = torch.ones_like(labels[0])
        self.sizes = torch.stack([cluster_sums(ones, run, n_clusters) for run in labels])
        # An empty cluster differs from 0 by rounding only.
        self.importances = torch.where(self.sizes > 0, importances.to(maps.device), 0)
        self._weights = [
            scaling.channel_weights(maps, run, values)
            for run, values in zip(self.labels, self.importances, strict=True)
        ]
        self._mean_weights = torch.stack(self._weights).mean(0)

    def attribution(self, attr_dim_summation: bool) -> Tensor:
        channels = _weighted(self._mean_weights, self._maps)
        summed = channels.sum(1, keepdim=True) if attr_dim_summation else channels
        values = summed.to(self._layer_tensor.dtype).contiguous()
        if type(self._layer_tensor) is Tensor:
            return values
        # Of the subclass that this operation gives LayerGradCam.
        template = self._layer_tensor.detach()
        if attr_dim_summation:
            template = template.sum(1, keepdim=True)
        return like(template.clone(memory_format=torch.contiguous_format), values)

    def total(self) -> Tensor:
        return _weighted(self._mean_weights, self._maps).flatten(1).sum(1)

    def cluster_maps(self) -> Tensor:
        maps = _weighted(self._weights[0], self._maps)
        return cluster_sums(maps, self.labels[0], self.sizes.shape[2])


def _weighted(weights: Tensor, maps: Tensor) -> Tensor:
    """Multiply each channel's map by its weight: (N, C, *spatial)."""
    return weights.view(*weights.shape, *[1] * (maps.dim() - 2)) * maps
