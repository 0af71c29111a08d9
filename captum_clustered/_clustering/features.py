"""A layer's tensor as rows to cluster, one for each channel."""

from __future__ import annotations

import torch
from torch import Tensor


def channel_first(tensor: Tensor, channel_dim: int) -> Tensor:
    """The tensor as (N, C, *spatial)."""
    return tensor.movedim(channel_dim, 1)


def positions(maps: Tensor) -> Tensor:
    """Maps (N, C, *spatial) as (N, C, P), with P = 1 where nothing is spatial."""
    return maps.reshape(*maps.shape[:2], -1)


def channel_rows(maps: Tensor) -> Tensor:
    """
    Maps (N, C, *spatial) as rows (N, C, P), float32 at least, of unit length.

    A row of one position stays as it is, since scaled it would be +1 or -1 whatever the
    channel says. A row of zeros stays zero: a dead channel contributes nothing in
    whichever cluster it falls.
    """
    rows = positions(maps)
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    if rows.shape[2] == 1:
        return rows
    norm = torch.linalg.vector_norm(rows, dim=2, keepdim=True)
    return rows / norm.clamp(min=torch.finfo(rows.dtype).tiny)
