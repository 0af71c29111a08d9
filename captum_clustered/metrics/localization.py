"""Localization: whether a map lies where the object is, by a mask."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_clustered.metrics._masking import (
    check_tensors,
    explanation_mask,
    is_number,
    pixel_ranks,
)
from captum_clustered.metrics._registry import metric

__all__ = ["EnergyShares", "energy_pointing_game", "energy_shares", "iou", "pointing_game"]

_MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class EnergyShares(NamedTuple):
    """
    Result of :func:`energy_shares`.

    Attributes:

        lesion (Tensor): Share of the map's energy in the mask, shape (N,).
        ring (Tensor): Share in the ring around it.
        background (Tensor): Share elsewhere.
    """

    lesion: Tensor
    ring: Tensor
    background: Tensor


@metric(
    "pointing game",
    direction="higher",
    meaning="1 if the largest value of m lies in the mask, else 0",
    values="0 or 1",
    won_by="a Gaussian in the middle of centered objects; one pixel",
)
def pointing_game(attributions: Tensor, masks: Tensor) -> Tensor:
    r"""
    Compute whether the largest value of the map lies in the mask.

    Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016. Their
    tolerance of 15 pixels is left out; dilate the mask for it. Of several largest values
    the first in reading order counts. A constant map points nowhere: 0.

    Returns:
        Tensor: Hit of each example, shape (N,).

    Examples::

        >>> attr = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
        >>> pointing_game(attr, torch.tensor([[[0, 0], [0, 1]]]))
        tensor([1.])
    """
    maps, inside = _aligned(attributions, masks)
    first = (pixel_ranks(maps) == 0) & (maps > 0)
    return (first & inside).flatten(1).any(1).to(maps.dtype)


@metric(
    "energy in mask",
    direction="higher",
    meaning="`sum(m * mask) / sum(m)`, NaN for a map without energy",
    values="0 to 1",
    won_by="tiny maps in the mask; a random map gets about the mask's share of the image",
    defaults=(),
)
def energy_pointing_game(attributions: Tensor, masks: Tensor) -> Tensor:
    r"""
    Compute the share of the map's energy in the mask, ``sum(m * mask) / sum(m)``.

    Wang et al., "Score-CAM", CVPR Workshops 2020, section 4.3, with any mask instead of a
    bounding box. It is NaN for a map without energy, a constant one: count those
    separately. Results for masks of different sizes cannot be compared.

    Returns:
        Tensor: Share of each example, shape (N,).

    Examples::

        >>> attr = torch.tensor([[[[0.0, 1.0], [1.0, 2.0]]]])
        >>> energy_pointing_game(attr, torch.tensor([[[0, 0], [0, 1]]]))
        tensor([0.5000])
    """
    maps, inside = _aligned(attributions, masks)
    return _share(maps, inside)


@metric(
    "IoU",
    direction="higher",
    meaning="overlap over union of `m > threshold` and the mask",
    values="0 to 1",
    won_by="maps of the right size",
)
def iou(attributions: Tensor, masks: Tensor, threshold: float = 0.5) -> Tensor:
    r"""
    Compute the intersection over union of the mask and the map above a threshold.

    Both regions are compared by their numbers of pixels, ``|A and B| / |A or B|``, and 0
    if both are empty. A constant map has 0. The result depends on the threshold; choose
    it on other images.

    Args:

        threshold (float, optional): In [0, 1), relative to the largest value of the map.
                    Default: 0.5

    Returns:
        Tensor: Intersection over union of each example, shape (N,).

    Examples::

        >>> attr = torch.tensor([[[[0.0, 1.0], [3.0, 4.0]]]])
        >>> iou(attr, torch.tensor([[[0, 0], [0, 1]]]))
        tensor([0.5000])
    """
    if not is_number(threshold) or not 0 <= threshold < 1:
        raise ValueError(f"threshold={threshold!r} must be at least 0 and less than 1.")
    maps, inside = _aligned(attributions, masks)
    above = maps > threshold
    common = (above & inside).flatten(1).sum(1)
    either = (above | inside).flatten(1).sum(1)
    return common.to(maps.dtype) / either.clamp(min=1)


@metric(
    "energy background",
    direction="lower",
    meaning="share of m in the rest of the image",
    values="0 to 1",
    won_by="as energy in mask",
    part="background",
)
@metric(
    "energy ring",
    direction=None,
    meaning="share of m in the ring around the mask: what surrounds a lesion",
    values="0 to 1",
    won_by="nothing: whether the ring matters depends on the finding",
    part="ring",
)
@metric(
    "energy lesion",
    direction="higher",
    meaning="share of m in the mask; equals energy in mask",
    values="0 to 1",
    won_by="as energy in mask",
    part="lesion",
)
def energy_shares(attributions: Tensor, masks: Tensor, ring: float = 0.1) -> EnergyShares:
    r"""
    Compute the shares of the map's energy in the lesion, a ring around it and elsewhere.

    Each is ``sum(m * region) / sum(m)``; the lesion's is :func:`energy_pointing_game`. The
    ring is the mask dilated by ``round(ring * size)`` pixels, at least one, to each side
    along each spatial dimension, minus the mask: the margin and surroundings of a lesion.

    The three are in [0, 1] and sum to 1. More lesion and less background is better;
    whether the ring is right depends on the finding. They are NaN for a map without
    energy, a constant one. What wins is the same as for :func:`energy_pointing_game`.

    Args:

        ring (float, optional): Width of the ring as a share of the image's size, in
                    [0, 1]; 0 is no ring.
                    Default: 0.1 (22 pixels at 224)

    Returns:
        EnergyShares: lesion, ring and background, each of shape (N,).

    Examples::

        >>> attr = torch.tensor([[[6.0, 3.0, 1.0, 0.0]]])
        >>> shares = energy_shares(attr, torch.tensor([[1, 0, 0, 0]]))
        >>> shares.lesion, shares.ring, shares.background
        (tensor([0.6000]), tensor([0.3000]), tensor([0.1000]))
    """
    if not is_number(ring) or not 0 <= ring <= 1:
        raise ValueError(f"ring={ring!r} must be a share of the image's size, from 0 to 1.")
    maps, inside = _aligned(attributions, masks)
    radii = [max(1, round(ring * size)) if ring else 0 for size in maps.shape[2:]]
    dilated = _dilated(inside, radii)
    return EnergyShares(
        _share(maps, inside), _share(maps, dilated & ~inside), _share(maps, ~dilated)
    )


def _aligned(attributions: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return normalized maps and boolean masks, both of shape (N, 1, *spatial)."""
    check_tensors(attributions=attributions, masks=masks)
    inside = masks.unsqueeze(1) if masks.dim() == attributions.dim() - 1 else masks
    if (
        inside.dim() != attributions.dim()
        or not 3 <= inside.dim() <= 5
        or inside.shape[1] != 1
        or len(inside) != len(attributions)
    ):
        raise ValueError(
            f"masks of shape {tuple(masks.shape)} do not fit attributions of shape "
            f"{tuple(attributions.shape)}: give (N, 1, *spatial) or (N, *spatial) with the same "
            "number of examples and of spatial dimensions (one to three)."
        )
    if not ((inside == 0) | (inside == 1)).all():
        raise ValueError(
            "masks must be booleans or zeros and ones; got other values. Convert images of 0 and "
            "255 by masks > 0."
        )
    with torch.no_grad():
        maps = explanation_mask(attributions, inside)
    return maps, inside.to(maps.device) == 1


def _share(maps: Tensor, region: Tensor) -> Tensor:
    # 0 / 0 is NaN for a map without energy.
    return (maps * region).flatten(1).sum(1) / maps.flatten(1).sum(1)


def _dilated(region: Tensor, radii: list[int]) -> Tensor:
    grown = region.to(torch.float32)
    for dim, radius in enumerate(radii):
        kernel, padding = [1] * len(radii), [0] * len(radii)
        kernel[dim], padding[dim] = 2 * radius + 1, radius
        grown = _MAX_POOL[len(radii)](grown, kernel, stride=1, padding=padding)
    return grown > 0
