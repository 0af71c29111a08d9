"""The features by which channels are clustered."""

from __future__ import annotations

import torch
from torch import Tensor


def channel_first(tensor: Tensor, channel_dim: int) -> Tensor:
    """Return the tensor as (N, C, *spatial)."""
    return tensor.movedim(channel_dim, 1)


def flatten_positions(maps: Tensor) -> Tensor:
    """Return maps (N, C, *spatial) as (N, C, P); P = 1 if there is no spatial dimension."""
    return maps.reshape(*maps.shape[:2], -1)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return the tensor in its dtype or, if that is less precise, in float32."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def channel_features(maps: Tensor) -> Tensor:
    """
    Return maps (N, C, *spatial) as features (N, C, P) of unit length, at least float32.

    With one position, features are not scaled: they would all become +1 or -1. A channel of
    zeros stays zero.
    """
    features = at_least_float32(flatten_positions(maps))
    if features.shape[2] == 1:
        return features
    norm = torch.linalg.vector_norm(features, dim=2, keepdim=True)
    return features / norm.clamp(min=torch.finfo(features.dtype).tiny)


class ChannelGram:
    """
    Features of channels over many images, without storing the images' maps.

    The features of a channel are its maps of all images, concatenated. Clustering needs only
    their products: the C x C Gram matrix, which is a sum over the images. Each image's term is
    divided by its number of positions, so that large images do not count more.
    """

    def __init__(self) -> None:
        self._sum: Tensor | None = None

    @property
    def n_channels(self) -> int | None:
        """Number of channels; None before the first image."""
        return None if self._sum is None else len(self._sum)

    def add(self, maps: Tensor) -> None:
        """Add the images of a batch of maps (N, C, *spatial)."""
        features = at_least_float32(flatten_positions(maps))
        flat = features.transpose(0, 1).flatten(1)
        # Moved to the CPU first, because not every accelerator has float64.
        term = (flat @ flat.T).cpu().double() / features.shape[2]
        self._sum = term if self._sum is None else self._sum + term

    def features(self) -> Tensor:
        """
        Return features (C, C) with the same distances as the concatenated maps of unit length.

        They are the symmetric square root of the Gram matrix, scaled to a diagonal of ones.
        """
        if self._sum is None:
            raise ValueError("No image was added.")
        norm = self._sum.diagonal().sqrt()
        scale = torch.where(norm > 0, 1 / norm, 0)
        values, vectors = torch.linalg.eigh(scale[:, None] * self._sum * scale)
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
