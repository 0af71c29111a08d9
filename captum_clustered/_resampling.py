"""Linear interpolation that knows what is outside, for any number of spatial dimensions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

# Rounding may not decide whether a position on the edge of a view is inside.
EDGE = 1e-6


def zoom_inputs(inputs: Tensor, factor: float, name: str) -> Tensor:
    """Magnify inputs about their center; ``name`` is the view's, for messages."""
    for dim in range(2 - inputs.dim(), 0):
        positions = _positions(inputs.shape[dim], 1 / factor)
        inputs = _resample(inputs, dim, positions, name)
    return inputs


def zoom_maps_back(maps: Tensor, factor: float) -> Tensor:
    """Bring maps of magnified inputs back, with zero where the view shows nothing."""
    for dim in range(2 - maps.dim(), 0):
        maps = _resample_inside(maps, dim, _positions(maps.shape[dim], factor))
    return maps


def shift_inputs(inputs: Tensor, pixels: Mapping[int, float], name: str) -> Tensor:
    """Move inputs by a number of pixels along each of the (negative) dimensions given."""
    for dim, by in pixels.items():
        positions = _positions(inputs.shape[dim], 1, -by)
        inputs = _resample(inputs, dim, positions, name)
    return inputs


def shift_maps_back(maps: Tensor, shares: Mapping[int, float]) -> Tensor:
    """Bring maps of moved inputs back; moves are shares of the size."""
    for dim, share in shares.items():
        size = maps.shape[dim]
        maps = _resample_inside(maps, dim, _positions(size, 1, share * size))
    return maps


def _positions(size: int, scale: float, offset: float = 0) -> Tensor:
    """Return where to look for each position, in units of positions, scaled about the center."""
    center = (size - 1) / 2
    return (
        scale * (torch.arange(size, dtype=torch.float64, device="cpu") - center) + center + offset
    )


def _resample(tensor: Tensor, dim: int, positions: Tensor, name: str = "") -> Tensor:
    """Interpolate linearly along a (negative) dimension; outside, border values continue."""
    if not tensor.is_floating_point():
        raise ValueError(
            f"view {name!r} interpolates and needs inputs of a floating-point type; got "
            f"{tensor.dtype}."
        )
    last = tensor.shape[dim] - 1
    positions = positions.clamp(0, last)
    below = positions.floor()
    share = (positions - below).to(tensor).view(-1, *[1] * (-1 - dim))
    below = below.long().to(tensor.device)
    lower = tensor.index_select(dim, below)
    upper = tensor.index_select(dim, (below + 1).clamp(max=last))
    return lower + share * (upper - lower)


def _resample_inside(maps: Tensor, dim: int, positions: Tensor) -> Tensor:
    """Interpolate as :func:`_resample`, with zero where nothing of the map is."""
    inside = (positions + 0.5 >= -EDGE) & (positions + 0.5 <= maps.shape[dim] + EDGE)
    inside = inside.to(maps.device).view(-1, *[1] * (-1 - dim))
    return torch.where(inside, _resample(maps, dim, positions), 0)
