"""Similarity of a layer's channels over a stream of images."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_clustered._clustering.features import positions


class ChannelGram:
    """
    Similarity of channels over a stream of images, in memory that does not grow.

    Laid side by side, all images' maps would be one long row for each channel. Only the
    products of these rows matter to clustering, and those can be summed up image by
    image: their C x C Gram matrix. Each image's share is divided by its number of
    positions, so that large images do not count more.
    """

    def __init__(self) -> None:
        self._sum: Tensor | None = None

    @property
    def n_channels(self) -> int | None:
        """Number of channels, once an image was added."""
        return None if self._sum is None else len(self._sum)

    def add(self, maps: Tensor) -> None:
        """Adds the images of a batch of maps (N, C, *spatial)."""
        rows = positions(maps)
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        flat = rows.transpose(0, 1).flatten(1)
        # Summed over batches in float64 on the CPU: every accelerator has that.
        term = (flat @ flat.T).double().cpu() / rows.shape[2]
        self._sum = term if self._sum is None else self._sum + term

    def rows(self) -> Tensor:
        """
        Rows (C, C) whose distances are those of the long rows scaled to unit length.

        They are the symmetric square root of the Gram matrix with unit diagonal.
        """
        if self._sum is None:
            raise ValueError("No image was added.")
        norm = self._sum.diagonal().sqrt()
        scale = torch.where(norm > 0, 1 / norm, 0)
        values, vectors = torch.linalg.eigh(scale[:, None] * self._sum * scale)
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
