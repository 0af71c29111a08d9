"""Masks of the channels in each cluster, and sums over them."""

from __future__ import annotations

import torch
from torch import Tensor

# Limits the memory of cluster_sums: the number of elements of N x K x C at once.
_MAX_ELEMENTS = 2**24


def membership(labels: Tensor, n_clusters: int) -> Tensor:
    """Return whether channel c of an example is in cluster j: bool (N, K, C)."""
    clusters = torch.arange(n_clusters, device=labels.device)
    return labels[:, None] == clusters[:, None]


def cluster_sums(values: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """
    Return the sums (N, K) of values (N, C) over each cluster's channels.

    ``scatter_add`` would be shorter, but on a GPU its order of additions, and so the rounding,
    differs from run to run.
    """
    block = max(1, _MAX_ELEMENTS // values.numel())
    parts = [
        torch.where(labels[:, None] == clusters[:, None], values[:, None], 0).sum(2)
        for clusters in torch.arange(n_clusters, device=labels.device).split(block)
    ]
    return torch.cat(parts, 1)
