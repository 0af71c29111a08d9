"""All evaluations of a layer on one batch, and the channels that each of them keeps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from captum_clustered._ablation.coalitions import CoalitionDesign, Importance
from captum_clustered._ablation.hooks import Tensors
from captum_clustered._ablation.lazy_tensor import lazy_ablated, materialize
from captum_clustered._ablation.memory_cap import SizeLimit

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

    For a tensor (N, C, H, W), :meth:`channel_masks` returns these masks as (5, N, 4, 1, 1).

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

    @property
    def n_evaluations(self) -> int:
        """Number of evaluations M."""
        return self._first_coalition + sum(len(design.coalitions) for design in self.designs)

    @property
    def _first_coalition(self) -> int:
        return 1 + self.with_baseline_score

    @property
    def n_elements(self) -> int:
        """Number of elements of the layer's tensors."""
        return sum(value.numel() for value in self.values)

    def channel_masks(self, start: int, stop: int) -> Tensors:
        """Return masks (stop - start, N, ...): True where evaluations keep a channel."""
        return tuple(
            self._masks_of(value, labels, start, stop)
            for value, labels in zip(self.values, self.labels, strict=True)
        )

    def _masks_of(self, value: Tensor, labels: Tensor, start: int, stop: int) -> Tensor:
        _, n_examples, n_channels = labels.shape
        parts = [
            torch.full((1, n_examples, n_channels), is_kept, device=value.device)
            for is_kept in (True, False)[: self._first_coalition][start:stop]
        ]
        first = self._first_coalition
        for label, design in zip(labels, self.designs, strict=True):
            kept = design.coalitions[max(start - first, 0) : max(stop - first, 0)]
            if len(kept):
                kept = kept.to(value.device, non_blocking=True).expand(-1, n_examples, -1)
                # Each channel takes the value of its cluster.
                parts.append(kept.gather(2, label.expand(len(kept), -1, -1)))
            first += len(design.coalitions)
        # (evaluations, N, C) -> (evaluations, N, 1, .., C, .., 1)
        shape = [1] * value.dim()
        shape[0] = n_examples
        shape[self.channel_dim] = n_channels
        return torch.cat(parts).view(-1, *shape)

    def ablated(self, masks: Tensors) -> Tensors:
        """Return the layer's tensors in one evaluation: the baseline where the mask is False."""
        return tuple(
            torch.where(mask, value, baseline)
            for mask, value, baseline in zip(masks, self.values, self.baselines, strict=True)
        )

    def lazily_ablated(self, masks: Tensors, limit: SizeLimit) -> Tensors:
        """Return the same as :meth:`ablated`, as lazy tensors where possible."""
        tensors = (
            lazy_ablated(value, baseline, mask, limit)
            for mask, value, baseline in zip(masks, self.values, self.baselines, strict=True)
        )
        # Lazy tensors need (N, C, *spatial), as functions of whole channels (pooling) do.
        return tuple(
            tensor
            if tensor.dim() > 2 and self.channel_dim % tensor.dim() == 1
            else materialize(tensor)
            for tensor in tensors
        )

    def importances(self, scores: Tensor) -> Tensor:
        """Return the importances of all clusters (R, N, K) from all scores (M, N)."""
        changes = scores - scores[UNABLATED]
        # If the empty coalition was not evaluated, the design ignores it.
        empty = changes[1:2] if self.with_baseline_score else changes[:1]
        sizes = [len(design.coalitions) for design in self.designs]
        parts = changes[self._first_coalition :].split(sizes)
        return torch.stack(
            [
                design.importances(torch.cat([empty, part]))
                for design, part in zip(self.designs, parts, strict=True)
            ]
        )
