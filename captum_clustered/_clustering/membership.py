"""From the importances of clusters to the maps of their channels."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_clustered._clustering.features import positions

SCALINGS = ("density", "drop")
# Bounds the memory of sums over many clusters of many channels.
_MAX_ELEMENTS = 2**24


def channel_maps(value: Tensor, baseline: Tensor, scaling: str) -> Tensor:
    """
    What a channel's weight multiplies: its signed map for "drop", its magnitude for
    "density", at least float32.

    Args:

        value (Tensor): The layer's tensor A, of any shape.
        baseline (Tensor): The baseline B, which broadcasts to it.
        scaling (str): "density" or "drop".
    """
    # The difference of two numbers in half precision can be all rounding.
    wide = torch.promote_types(value.dtype, torch.float32)
    difference = value.to(wide) - baseline.to(wide)
    return difference.abs() if scaling == "density" else difference


def channel_weights(maps: Tensor, labels: Tensor, importances: Tensor, scaling: str) -> Tensor:
    """
    Weights w of shape (N, C), so that the attribution of channel c is w_c times its map.

    "drop" weighs each channel by its cluster's importance d_j. "density" spreads it over
    where the cluster fires, w_c = d_j / sum over the cluster and all positions of \\|D\\|: the
    map is then in units of the score and sums to the sum of the importances.

    Args:

        maps (Tensor): From :func:`channel_maps`, shape (N, C, *spatial).
        labels (Tensor): Cluster of each channel, shape (N, C).
        importances (Tensor): Shape (N, K).
        scaling (str): "density" or "drop".
    """
    if scaling == "density":
        cluster_mass = cluster_sums(positions(maps).sum(2), labels, importances.shape[1])
        # Without mass nothing was ablated, so there is no importance to spread.
        importances = torch.where(cluster_mass > 0, importances / cluster_mass, 0)
    return importances.to(maps.dtype).gather(1, labels)


def membership(labels: Tensor, n_clusters: int) -> Tensor:
    """Whether channel c of an example is in cluster j: bool (N, K, C)."""
    clusters = torch.arange(n_clusters, device=labels.device)
    return labels[:, None] == clusters[:, None]


def cluster_sums(values: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """
    Sums over each cluster's channels: (N, K) from values and labels (N, C).

    Scattered additions would be shorter, but on a GPU their order, and so their
    rounding, differs from run to run.
    """
    block = max(1, _MAX_ELEMENTS // values.numel())
    parts = [
        torch.where(labels[:, None] == clusters[:, None], values[:, None], 0).sum(2)
        for clusters in torch.arange(n_clusters, device=labels.device).split(block)
    ]
    return torch.cat(parts, 1)


def spread(weights: Tensor, maps: Tensor) -> Tensor:
    """Each channel's map times its weight: (N, C, *spatial)."""
    return weights.view(*weights.shape, *[1] * (maps.dim() - 2)) * maps
