"""Which channels are in which cluster, and sums over the channels of a cluster."""

from __future__ import annotations

import torch
from torch import Tensor

# Bounds the memory of sums over many clusters of many channels.
_MAX_ELEMENTS = 2**24


def membership(labels: Tensor, n_clusters: int) -> Tensor:
    """Return whether channel c of an example is in cluster j: bool (N, K, C)."""
    clusters = torch.arange(n_clusters, device=labels.device)
    return labels[:, None] == clusters[:, None]


def cluster_sums(values: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """
    Return the sums over each cluster's channels: (N, K) from values and labels (N, C).

    Scattered additions would be shorter, but on a GPU their order, and so their
    rounding, differs from run to run.
    """
    block = max(1, _MAX_ELEMENTS // values.numel())
    parts = [
        torch.where(labels[:, None] == clusters[:, None], values[:, None], 0).sum(2)
        for clusters in torch.arange(n_clusters, device=labels.device).split(block)
    ]
    return torch.cat(parts, 1)
