"""Which channels of one of the layer's tensors each evaluation keeps or ablates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_clustered._ablation.batches import EvaluationBatch
from captum_clustered._ablation.coalitions import CoalitionDesign
from captum_clustered._clustering.cluster_sums import add_rows, are_members


@dataclass(frozen=True)
class Evaluations:
    """
    Evaluations start..stop-1 of a plan, for one of the layer's tensors.

    Attributes:

        labels (Tensor): The cluster of each channel in each of R clusterings, (R, N, C).
        designs (sequence of CoalitionDesign): The coalitions of each clustering.
        with_baseline_score (bool): Whether evaluation 1 ablates all channels.
        start (int): The first evaluation.
        stop (int): The evaluation behind the last one.
    """

    labels: Tensor
    designs: Sequence[CoalitionDesign]
    with_baseline_score: bool
    start: int
    stop: int

    def masks(self) -> Tensor:
        """Return masks (stop - start, N, C): True where an evaluation keeps a channel."""
        n_first = 1 + self.with_baseline_score
        parts = [
            torch.full((1, *self.labels.shape[1:]), is_kept, device=self.labels.device)
            for is_kept in (True, False)[:n_first][self.start : self.stop]
        ]
        first = n_first
        for labels, design in zip(self.labels, self.designs, strict=True):
            # Those of its coalitions that are among the evaluations.
            start, stop = (
                min(max(0, i - first), design.n_coalitions) for i in (self.start, self.stop)
            )
            parts.append(design.channel_masks(labels, start, stop))
            first += design.n_coalitions
        return torch.cat(parts)

    def split(self, values: Tensor) -> list[Tensor]:
        """Return values (N, C) with zeros outside each cluster: (K, N, C) for each clustering."""
        return [
            torch.where(
                labels == torch.arange(design.n_clusters, device=labels.device)[:, None, None],
                values,
                0,
            )
            for labels, design in zip(self.labels, self.designs, strict=True)
        ]

    def cluster_sums(self, terms: Iterable[tuple[slice, Tensor]]) -> list[Tensor]:
        """
        Sum terms over the channels of each cluster.

        Args:

            terms (iterable): Pairs of a slice of channels and their terms (c, N, O). All
                        channels occur once.

        Returns:
            list[Tensor]: Sums (K, N, O) for each clustering.
        """
        sums: list[Tensor] = []
        for channels, part in terms:
            sums = sums or [
                part.new_zeros(design.n_clusters, *part.shape[1:]) for design in self.designs
            ]
            for labels, total in zip(self.labels, sums, strict=True):
                _add_terms(total, labels[:, channels], part)
        return sums

    def ablated_sums(self, cluster_sums: Sequence[Tensor]) -> Tensor:
        """
        Return the sums over the clusters that each evaluation ablates, (stop - start, N, O).

        Takes sums (K, N, O) for each clustering.
        """
        parts = [torch.zeros_like(cluster_sums[0][:1])]
        if self.with_baseline_score:
            parts.append(cluster_sums[0].sum(0, keepdim=True))
        for sums, design in zip(cluster_sums, self.designs, strict=True):
            parts.append(design.ablated_sums(sums))
        return torch.cat(parts)[self.start : self.stop]


def _add_terms(sums: Tensor, labels: Tensor, terms: Tensor) -> None:
    """Add the terms (c, N, O) of channels of clusters ``labels`` (N, c) to sums (K, N, O)."""
    n_examples = len(labels)
    if sums.device.type == "cpu":
        index = labels.T * n_examples + torch.arange(n_examples, device=labels.device)
        add_rows(sums.view(-1, sums.shape[2]), index.flatten(), terms.flatten(0, 1))
    else:
        add_products(sums, labels, terms)


def add_products(sums: Tensor, labels: Tensor, terms: Tensor) -> None:
    """Do the same with products of zeros and ones. To add rows, a GPU has to sort the labels."""
    members = are_members(labels, len(sums)).to(terms.dtype)
    sums += torch.bmm(members, terms.transpose(0, 1)).transpose(0, 1)


@dataclass
class ChannelAblation:
    """
    The channels that the current evaluation ablates, in one of the layer's tensors.

    Attributes:

        evaluations (Evaluations): All evaluations of a forward pass.
        index (Tensor): Which of them is the current one, shape (1,). It is what
                    :func:`torch.func.vmap` runs over, as 0, 1, 2 and so on.
    """

    evaluations: Evaluations
    index: Tensor
    _mask: Tensor | None = None

    @property
    def n_channels(self) -> int:
        """Number of channels C."""
        return self.evaluations.labels.shape[2]

    def mask(self) -> Tensor:
        """Return which channels are kept, bool (N, C)."""
        # Kept, because a model may need it several times.
        if self._mask is None:
            self._mask = self.current(self.evaluations.masks())
        return self._mask

    def ablated_sum(self, cluster_sums: Sequence[Tensor]) -> Tensor:
        """Return the sum (N, O) over the ablated clusters, see Evaluations.ablated_sums."""
        return self.current(self.evaluations.ablated_sums(cluster_sums))

    def current(self, values: Tensor) -> Tensor:
        """Return the values of the current evaluation, given those of all of them."""
        batch = EvaluationBatch.of(self.index)
        if batch is not None and batch.size == len(values):
            # Each evaluation takes its own row: dimension 0 is marked as vmap's, without a copy.
            return batch.pack(values)
        # Indices past the end (fewer clusters than expected) repeat the last evaluation.
        index = self.index.to(values.device).clamp(max=len(values) - 1)
        return values.index_select(0, index)[0]
