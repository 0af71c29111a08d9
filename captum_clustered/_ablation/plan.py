"""All evaluations of a layer on one batch, and the channels that each of them keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_clustered._ablation.coalitions import CoalitionDesign, Importance
from captum_clustered._ablation.evaluations import ChannelAblation, Evaluations
from captum_clustered._ablation.hooks import Tensors
from captum_clustered._ablation.memory_cap import SizeLimit
from captum_clustered._ablation.single_pass.lazy_tensor import lazy_ablated

# The evaluation that keeps every channel. It runs in the first forward pass: dataset_run reads the
# predicted class from it.
UNABLATED = 0


@dataclass(frozen=True)
class AblationPlan:
    """
    All evaluations that the attribution of one batch needs.

    Evaluation 0 keeps every channel. Evaluation 1 keeps none, if ``with_baseline_score``. The
    coalitions of the first clustering follow, then those of the second, and so on. For C = 4
    channels with the labels [0, 2, 1, 0], so K = 3 clusters, and ``importance="ablation"``:

    ==========  ==============  =================================
    evaluation  clusters kept   channel mask (1: kept, 0: ablated)
    ==========  ==============  =================================
    0           0 1 2           1 1 1 1
    1           none            0 0 0 0
    2           1 2             0 1 1 0
    3           0 2             1 1 0 1
    4           0 1             1 0 1 1
    ==========  ==============  =================================

    Attributes:

        layer_tensors (tuple[Tensor, ...]): The layer's tensors, as the layer returns them.
        values (tuple[Tensor, ...]): The same as plain tensors, if they are of a subclass.
        baselines (tuple[Tensor, ...]): The values that replace ablated channels; each
                    broadcasts to its tensor in ``values``.
        channel_dim (int): The dimension of the channels.
        labels (tuple[Tensor, ...]): For each tensor, the cluster of each channel in each of R
                    clusterings, shape (R, N, C). The K clusters are numbered tensor by tensor.
        n_clusters (tuple[int, ...]): How many of the K clusters belong to each tensor.
        importance (Importance): How importances are computed from the evaluations.
        designs (tuple[CoalitionDesign, ...]): The coalitions of each clustering.
        with_baseline_score (bool): Whether evaluation 1 keeps no channel.
        layer_name (str): The layer in error messages.
        places (tuple[int, ...]): The tensor of each attribution, as in ``LayerTensors``.
    """

    layer_tensors: Tensors
    values: Tensors
    baselines: Tensors
    channel_dim: int
    labels: Tensors
    n_clusters: tuple[int, ...]
    importance: Importance
    designs: tuple[CoalitionDesign, ...]
    with_baseline_score: bool
    layer_name: str
    places: tuple[int, ...]

    @property
    def n_evaluations(self) -> int:
        """Number of evaluations M."""
        return 1 + self.with_baseline_score + sum(design.n_coalitions for design in self.designs)

    @property
    def n_elements(self) -> int:
        """Number of elements of the layer's tensors."""
        return sum(value.numel() for value in self.values)

    @property
    def n_bytes(self) -> int:
        """Number of bytes of the layer's tensors."""
        return sum(value.nbytes for value in self.values)

    def ablations(self, start: int, stop: int, index: Tensor) -> tuple[ChannelAblation, ...]:
        """
        Return which channels of each tensor one evaluation ablates.

        ``index`` (1,) chooses it among the evaluations start..stop-1.
        """
        return tuple(
            ChannelAblation(
                Evaluations(labels, self.designs, self.with_baseline_score, start, stop), index
            )
            for labels in self.labels
        )

    def ablated(self, ablations: Sequence[ChannelAblation]) -> Tensors:
        """Return the layer's tensors with the baseline in ablated channels."""
        return tuple(map(self._ablated, ablations, self.values, self.baselines))

    def lazily_ablated(self, ablations: Sequence[ChannelAblation], limit: SizeLimit) -> Tensors:
        """Return the same as :meth:`ablated`, as lazy tensors where possible."""
        # Lazy tensors need (N, C, *spatial), as functions of whole channels (pooling) do.
        return tuple(
            lazy_ablated(value, baseline, ablation, limit)
            if value.dim() > 2 and self.channel_dim % value.dim() == 1
            else self._ablated(ablation, value, baseline)
            for ablation, value, baseline in zip(
                ablations, self.values, self.baselines, strict=True
            )
        )

    def _ablated(self, ablation: ChannelAblation, value: Tensor, baseline: Tensor) -> Tensor:
        mask = ablation.mask()
        # (N, C) -> (N, 1, .., C, .., 1)
        shape = [1] * value.dim()
        shape[0], shape[self.channel_dim] = mask.shape
        return torch.where(mask.view(shape), value, baseline)

    def importances(self, scores: Tensor) -> Tensor:
        """Return the importances of all clusters (R, N, K) from all scores (M, N)."""
        changes = scores - scores[UNABLATED]
        # If the empty coalition was not evaluated, the design ignores it.
        empty = changes[1:2] if self.with_baseline_score else changes[:1]
        sizes = [design.n_coalitions for design in self.designs]
        parts = changes[1 + self.with_baseline_score :].split(sizes)
        return torch.stack(
            [
                design.importances(torch.cat([empty, part]))
                for design, part in zip(self.designs, parts, strict=True)
            ]
        )
