"""A layer's tensors with clusters of channels replaced by the baseline."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from captum_clustered._ablation.coalitions import CoalitionDesign, Importance
from captum_clustered._ablation.hooks import Tensors
from captum_clustered._ablation.lazy_tensor import Limit, computed, deferred


@dataclass(frozen=True)
class Ablation:
    """
    All that is to be evaluated about one layer on one batch.

    The evaluations are rows: row 0 keeps every channel, row 1 keeps none (if
    ``has_empty``), then come the coalitions of the first run, of the second...

    Attributes:

        values (tuple[Tensor, ...]): The layer's tensors, as the layer gives them.
        baselines (tuple[Tensor, ...]): What replaces ablated channels; each broadcasts
                    to the tensor in ``values``.
        channel_dim (int): The dimension of the channels, from the end if negative.
        labels (tuple[Tensor, ...]): For each tensor the player that each channel
                    belongs to, shape (R, N, C).
        n_clusters (tuple[int, ...]): How many of the K players are clusters of each tensor;
                    they are numbered tensor by tensor.
        importance (Importance): What the evaluations are for.
        designs (tuple[CoalitionDesign, ...]): Coalitions of the K clusters, for each of R runs.
        has_empty (bool): Whether row 1 is the empty coalition.
    """

    values: Tensors
    baselines: Tensors
    channel_dim: int
    labels: Tensors
    n_clusters: tuple[int, ...]
    importance: Importance
    designs: tuple[CoalitionDesign, ...]
    has_empty: bool

    @property
    def n_rows(self) -> int:
        """Number of evaluations."""
        return self._header + sum(len(design.coalitions) for design in self.designs)

    @property
    def _header(self) -> int:
        return 1 + self.has_empty

    def rows_within(self, max_elements: int) -> int:
        """How many rows, at least one, have no more elements than that."""
        return max(1, max_elements // sum(value.numel() for value in self.values))

    def keep(self, start: int, stop: int) -> Tensors:
        """
        Which channels rows start..stop-1 keep.

        Returns:
            tuple[Tensor, ...]: For each tensor a bool mask of shape (stop - start, N,
            ...) that broadcasts to the tensor.
        """
        return tuple(
            self._keep_one(value, labels, start, stop)
            for value, labels in zip(self.values, self.labels, strict=True)
        )

    def _keep_one(self, value: Tensor, labels: Tensor, start: int, stop: int) -> Tensor:
        _, n_examples, n_channels = labels.shape
        parts = [
            torch.full((1, n_examples, n_channels), kept, device=value.device)
            for kept in (True, False)[: self._header][start:stop]
        ]
        first = self._header
        for label, design in zip(labels, self.designs, strict=True):
            n_coalitions = len(design.coalitions)
            rows = design.coalitions[max(start - first, 0) : max(stop - first, 0)]
            if len(rows):
                rows = rows.to(value.device, non_blocking=True).expand(-1, n_examples, -1)
                parts.append(rows.gather(2, label.expand(len(rows), -1, -1)))
            first += n_coalitions
        mask = torch.cat(parts)
        # (rows, N, C) -> (rows, N, 1, .., C, .., 1)
        shape = [1] * value.dim()
        shape[0] = n_examples
        shape[self.channel_dim] = n_channels
        return mask.view(len(mask), *shape)

    def replaced(self, keep: Tensors) -> Tensors:
        """The layer's tensors with the baseline where a mask of one row is False."""
        return tuple(
            torch.where(mask, value, baseline)
            for mask, value, baseline in zip(keep, self.values, self.baselines, strict=True)
        )

    def deferred(self, keep: Tensors, limit: Limit | None) -> Tensors:
        """
        As :meth:`replaced`, but computed when they are needed, where that can be put off.

        Args:

            keep (tuple[Tensor, ...]): Masks of one row.
            limit (Limit or None): How large a tensor may be, see :func:`deferred`.
        """
        tensors = (
            deferred(value, baseline, mask, limit)
            for mask, value, baseline in zip(keep, self.values, self.baselines, strict=True)
        )
        # Functions of each channel take dimension 1 for that of the channels.
        return tuple(
            tensor
            if tensor.dim() > 2 and self.channel_dim % tensor.dim() == 1
            else computed(tensor)
            for tensor in tensors
        )

    def importances(self, scores: Tensor) -> Tensor:
        """Importances of all players, (R, N, K), from the scores of all rows, (M, N)."""
        gains = scores - scores[0]
        # A design that needs no empty coalition ignores it.
        empty = gains[1:2] if self.has_empty else gains[:1]
        sizes = [len(design.coalitions) for design in self.designs]
        return torch.stack(
            [
                design.importances(torch.cat([empty, part]))
                for design, part in zip(
                    self.designs, gains[self._header :].split(sizes), strict=True
                )
            ]
        )
