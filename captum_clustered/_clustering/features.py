"""Features that channels are clustered by."""

from __future__ import annotations

import torch
from torch import Tensor


def channel_first(tensor: Tensor, channel_dim: int) -> Tensor:
    """Return the tensor as (N, C, *spatial)."""
    return tensor.movedim(channel_dim, 1)


def positions(maps: Tensor) -> Tensor:
    """Return maps (N, C, *spatial) as (N, C, P), with P = 1 if there is no spatial dimension."""
    return maps.reshape(*maps.shape[:2], -1)


def channel_features(maps: Tensor) -> Tensor:
    """
    Return maps (N, C, *spatial) as features (N, C, P) of unit length, at least float32.

    Features of one position are not scaled: they would all be +1 or -1. Zeros stay zeros: a
    dead channel contributes nothing in any cluster.
    """
    features = _wide(positions(maps))
    if features.shape[2] == 1:
        return features
    norm = torch.linalg.vector_norm(features, dim=2, keepdim=True)
    return features / norm.clamp(min=torch.finfo(features.dtype).tiny)


class ChannelGram:
    """
    Features of channels over a stream of images, in memory that does not grow.

    Over all images, a channel's features would be all its maps laid side by side. Clustering
    needs only their products, the C x C Gram matrix, which is a sum over the images. Each
    image's term is divided by its number of positions, so that large images do not count more.
    """

    def __init__(self) -> None:
        self._sum: Tensor | None = None

    @property
    def n_channels(self) -> int | None:
        """Number of channels, once an image was added."""
        return None if self._sum is None else len(self._sum)

    def add(self, maps: Tensor) -> None:
        """Add the images of a batch of maps (N, C, *spatial)."""
        features = _wide(positions(maps))
        flat = features.transpose(0, 1).flatten(1)
        # Summed over batches in float64 on the CPU: not every accelerator has float64.
        term = (flat @ flat.T).cpu().double() / features.shape[2]
        self._sum = term if self._sum is None else self._sum + term

    def features(self) -> Tensor:
        """
        Return features (C, C) with the distances of the long features scaled to unit length.

        They are the symmetric square root of the Gram matrix with unit diagonal.
        """
        if self._sum is None:
            raise ValueError("No image was added.")
        norm = self._sum.diagonal().sqrt()
        scale = torch.where(norm > 0, 1 / norm, 0)
        values, vectors = torch.linalg.eigh(scale[:, None] * self._sum * scale)
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _wide(features: Tensor) -> Tensor:
    return features.to(torch.promote_types(features.dtype, torch.float32))
