"""Choose the evaluations that an attribution needs, from the layer's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Union

import torch
from torch import Tensor
from torch.nn import Module

from captum_clustered._ablation.coalitions import CoalitionDesign, Importance
from captum_clustered._ablation.hooks import Tensors
from captum_clustered._ablation.layer_checks import check_finite, check_layer
from captum_clustered._ablation.model_state.torch_settings import without_autocast
from captum_clustered._ablation.plan import AblationPlan
from captum_clustered._clustering.cluster_sums import cluster_sums
from captum_clustered._clustering.clusterers import Clusterer
from captum_clustered._clustering.features import channel_features, channel_first
from captum_clustered._subclasses import plain

# The expected number of clusters of a clusterer that does not know it in advance.
GUESSED_CLUSTERS = 10

LayerBaselines = Union[None, int, float, Tensor, tuple[Union[int, float, Tensor], ...]]


@dataclass(frozen=True)
class AblationPlanner:
    """
    Clusters the layer's channels and chooses the coalitions to evaluate.

    Attributes:

        n_examples (int): Number of examples N in the batch.
        clusterer (Clusterer): Clusters the channels.
        importance (Importance): How importances are measured.
        n_samples (int): Number of permutations for sampled Shapley values.
        seed (int): Seed of the permutations.
        channel_dim (int): The layer's dimension of channels.
        layer_baselines: As in ``ClusteredLayerCAM.attribute``.
        with_baseline_score (bool): Whether to evaluate the baseline, too.
        layer_name (str): Name of the layer in error messages.
        expected_channels (int or None): If each channel is a cluster: their number, as far as it
                    is known before the pass, see :func:`expected_channels`.
    """

    n_examples: int
    clusterer: Clusterer
    importance: Importance
    n_samples: int
    seed: int
    channel_dim: int
    layer_baselines: LayerBaselines
    with_baseline_score: bool
    layer_name: str
    expected_channels: int | None = None

    @property
    def expected_evaluations(self) -> int:
        """Number of evaluations, estimated before clustering."""
        k = self.clusterer.n_clusters or self.expected_channels or GUESSED_CLUSTERS
        coalitions = self.importance.n_coalitions(k, self.n_samples)
        return 1 + self.with_baseline_score + self.clusterer.n_clusterings * coalitions

    def plan(self, tensors: Tensors, places: Sequence[int] = ()) -> AblationPlan:
        """
        Cluster the channels of the layer's tensors and plan all evaluations.

        Args:

            tensors (tuple[Tensor, ...]): The different tensors of the layer.
            places (sequence of int): As in ``LayerTensors``; by default, each of them once.
        """
        layer_tensors, tensors = tensors, tuple(map(plain, tensors))
        check_layer(tensors, self.n_examples, self.channel_dim, self.layer_name)
        if not self.clusterer.on_device:
            check_finite(tensors, self.layer_name)
        if self.clusterer.n_tensors not in (None, len(tensors)):
            raise ValueError(
                f"clusterer has fixed labels for {self.clusterer.n_tensors} tensors, but layer "
                f"{self.layer_name} has {len(tensors)}: give a tuple with labels for each of them."
            )
        labels: list[Tensor] = []
        n_clusters: list[int] = []
        for index, tensor in enumerate(tensors):
            features = channel_features(channel_first(tensor, self.channel_dim))
            with without_autocast(tensor):
                label, count = self.clusterer(features, index)
            # The clusters of all tensors are numbered one after the other.
            labels.append(label + sum(n_clusters))
            n_clusters.append(count)
        return AblationPlan(
            layer_tensors=layer_tensors,
            values=tensors,
            baselines=format_baselines(self.layer_baselines, tensors),
            channel_dim=self.channel_dim,
            labels=tuple(labels),
            n_clusters=tuple(n_clusters),
            importance=self.importance,
            designs=self._designs(labels, sum(n_clusters)),
            with_baseline_score=self.with_baseline_score,
            layer_name=self.layer_name,
            places=tuple(places or range(len(tensors))),
        )

    def _designs(self, labels: Sequence[Tensor], n_clusters: int) -> tuple[CoalitionDesign, ...]:
        def present(r: int) -> Tensor:
            clustering = torch.cat([label[r] for label in labels], 1)
            return (cluster_sums(torch.ones_like(clustering), clustering, n_clusters) > 0).cpu()

        return tuple(
            self.importance.design(n_clusters, partial(present, r), self.n_samples, self.seed)
            for r in range(self.clusterer.n_clusterings)
        )


def expected_channels(
    layer: Module, attribute_to_layer_input: bool, model: Module | None = None
) -> int | None:
    """
    Return the number of channels of a layer as parameters suggest it; None without any.

    Without parameters of its own, a layer has the channels of the last module in front of it.
    With the right number, one pass is enough if each channel is a cluster; another number costs
    a second pass or evaluations that are not needed.
    """
    # A gain without dimensions says nothing.
    parameters = [p for p in layer.parameters() if p.dim()]
    if not parameters:
        before = takewhile(lambda module: module is not layer, model.modules() if model else ())
        own = (p for module in before for p in module._parameters.values())
        counts = [p.shape[0] for p in own if p is not None and p.dim()]
        return counts[-1] if counts else None
    if attribute_to_layer_input:
        # Of a weight (out, in, ...) the second, of a norm's weight (C,) the first.
        return parameters[0].shape[:2][-1]
    return parameters[-1].shape[0]


def format_baselines(layer_baselines: LayerBaselines, tensors: Tensors) -> Tensors:
    """Return one baseline for each of the layer's tensors, which broadcasts to it."""
    if layer_baselines is None:
        layer_baselines = (0,) * len(tensors)
    if not isinstance(layer_baselines, tuple):
        layer_baselines = (layer_baselines,)
    if len(layer_baselines) != len(tensors):
        raise ValueError(
            f"layer_baselines must have one entry for each of the layer's tensors, {len(tensors)}; "
            f"got {len(layer_baselines)}."
        )
    return tuple(map(_format_baseline, layer_baselines, tensors))


def _format_baseline(baseline: int | float | Tensor, tensor: Tensor) -> Tensor:
    if not isinstance(baseline, (int, float, Tensor)):
        raise TypeError(
            f"layer_baselines must hold numbers or tensors; got {type(baseline).__name__}."
        )
    if isinstance(baseline, Tensor):
        formatted = plain(baseline).detach().to(tensor.device, tensor.dtype)
    else:
        try:
            # Not as_tensor, which waits for a GPU.
            formatted = tensor.new_full((), float(baseline))
        except (RuntimeError, OverflowError) as error:
            raise ValueError(
                f"layer_baselines={baseline} does not fit into the layer's {tensor.dtype}."
            ) from error
    try:
        fits = torch.broadcast_shapes(formatted.shape, tensor.shape) == tensor.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"layer_baselines of shape {tuple(formatted.shape)} does not broadcast to the layer's "
            f"shape {tuple(tensor.shape)}."
        )
    return formatted
