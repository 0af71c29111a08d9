"""Sums over the channels of each cluster."""

from __future__ import annotations

import torch
from torch import Tensor

# With more clusters, a tensor with each value once for each cluster would be large.
MAX_MASKED = 64


def cluster_sums(values: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """Return the sums (N, K, ...) of values (N, C, ...) over each cluster's channels (N, C)."""
    n_examples = len(values)
    is_small = values.dim() == 2 and n_clusters <= MAX_MASKED
    if is_small and values.device.type != "cpu":
        # The sums below take several times as long, because a GPU sorts the labels for them.
        return masked_sums(values, labels, n_clusters)
    example = torch.arange(n_examples, device=labels.device)[:, None]
    sums = values.new_zeros(n_examples * n_clusters, *values.shape[2:])
    add_rows(sums, (labels + n_clusters * example).flatten(), values.flatten(0, 1))
    return sums.view(n_examples, n_clusters, *values.shape[2:])


def masked_sums(values: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """Return the sums (N, K) of values (N, C) over each cluster's channels (N, C)."""
    return torch.where(are_members(labels, n_clusters), values[:, None], 0).sum(2)


def are_members(labels: Tensor, n_clusters: int) -> Tensor:
    """Return whether each channel is in each cluster, bool (N, K, C), of labels (N, C)."""
    return labels[:, None] == torch.arange(n_clusters, device=labels.device)[:, None]


def add_rows(sums: Tensor, index: Tensor, rows: Tensor) -> None:
    """Add ``rows[i]`` to ``sums[index[i]]`` for all i, in the same order in each run."""
    if sums.device.type == "cpu":
        sums.index_add_(0, index, rows)
    else:
        # On a GPU, the order of additions of index_add_, and so the rounding, differs from run
        # to run. This sorts the indices.
        sums.index_put_((index,), rows, accumulate=True)
