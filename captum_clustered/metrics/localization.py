"""Where a map points, against a mask of what it should point at."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_clustered.metrics._masking import explanation_mask, is_number, pixel_ranks

_MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class EnergyShares(NamedTuple):
    """
    Attributes:

        lesion (Tensor): Share of the map's energy in the mask, shape (N,).
        ring (Tensor): Share in the ring around it.
        background (Tensor): Share elsewhere.
    """

    lesion: Tensor
    ring: Tensor
    background: Tensor


def pointing_game(attributions: Tensor, masks: Tensor) -> Tensor:
    r"""
    Whether the largest value of the map lies in the mask.

    Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016, without
    their tolerance of 15 pixels, which is a dilated mask. The map is ReLU'd, interpolated
    to the mask's size and min-max normalized to [0, 1], as in :func:`average_drop`.

    1 for a hit, 0 for a miss; higher is better. Of several largest values the first in
    reading order counts. An all-zero or constant map points nowhere: 0. The network has no
    part in it, and a single pixel decides: a Gaussian in the middle hits most centered
    objects, and one pixel in the mask wins whatever the rest of the map says.

    Args:

        attributions (Tensor): Shape (N, c, \*spatial) of any size, with one to three
                    spatial dimensions; summed over c.
        masks (Tensor): Booleans, or zeros and ones, of shape (N, 1, \*spatial) or
                    (N, \*spatial). An example whose mask is empty cannot be hit: leave
                    such examples out.

    Returns:
        Tensor: Hit of each example, shape (N,).

    Raises:

        TypeError: If attributions or masks are no tensor.
        ValueError: If the shapes do not go together, if masks have other values than 0
                    and 1, or if attributions are not finite.

    Examples::

        >>> attr = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
        >>> pointing_game(attr, torch.tensor([[[0, 0], [0, 1]]]))
        tensor([1.])
    """
    maps, inside = _aligned(attributions, masks)
    first = (pixel_ranks(maps) == 0) & (maps > 0)
    return (first & inside).flatten(1).any(1).to(maps.dtype)


def energy_pointing_game(attributions: Tensor, masks: Tensor) -> Tensor:
    r"""
    Share of the map's energy in the mask, ``sum(m * mask) / sum(m)``.

    Wang et al., "Score-CAM", CVPR Workshops 2020, section 4.3, with any mask in the place
    of the bounding box. The map m is prepared as in :func:`pointing_game`; the smallest
    value counts as 0 by the normalization.

    In [0, 1]; higher is better. NaN for a map without energy, an all-zero or constant one:
    count those apart. The share of the image that the mask covers is what a map without
    any knowledge gets, so masks of other sizes do not compare. Tiny maps win, a single
    pixel in the mask has 1, and so does the mask itself, whatever the network looks at.

    Args:

        attributions, masks: As in :func:`pointing_game`.

    Returns:
        Tensor: Share of each example, shape (N,).

    Raises:

        TypeError, ValueError: As :func:`pointing_game`.

    Examples::

        >>> attr = torch.tensor([[[[0.0, 1.0], [1.0, 2.0]]]])
        >>> energy_pointing_game(attr, torch.tensor([[[0, 0], [0, 1]]]))
        tensor([0.5000])
    """
    maps, inside = _aligned(attributions, masks)
    return _share(maps, inside)


def iou(attributions: Tensor, masks: Tensor, threshold: float = 0.5) -> Tensor:
    r"""
    Intersection over union of the mask and the map above a threshold.

    The map, prepared as in :func:`pointing_game`, is cut at ``m > threshold``, and both
    regions are compared by the number of pixels: ``|A and B| / |A or B|``, and 0 if both
    are empty.

    In [0, 1]; higher is better; an all-zero or constant map has 0. The result depends on
    the threshold, which should be chosen on other images, and maps of the right size win
    over those that point right. The network has no part in it.

    Args:

        attributions, masks: As in :func:`pointing_game`.
        threshold (float, optional): In [0, 1), of the largest value of the map.
                    Default: 0.5

    Returns:
        Tensor: Intersection over union of each example, shape (N,).

    Raises:

        TypeError: As :func:`pointing_game`.
        ValueError: As :func:`pointing_game`, or if threshold is not in [0, 1).

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


def energy_shares(attributions: Tensor, masks: Tensor, ring: float = 0.1) -> EnergyShares:
    r"""
    Shares of the map's energy in the lesion, in the ring around it and elsewhere.

    Each is ``sum(m * region) / sum(m)``; the first is :func:`energy_pointing_game`. The
    ring is the mask dilated by a box of ``round(ring * size)`` pixels, at least one, to
    each side along each spatial dimension, minus the mask: the margin of a lesion, where
    what surrounds it is seen.

    Each in [0, 1], together 1; more lesion is better, and whether the ring is right or
    wrong depends on the finding. NaN for an all-zero or constant map. What games it is
    as in :func:`energy_pointing_game`; the shares of a constant positive map would be
    those of the areas.

    Args:

        attributions, masks: As in :func:`pointing_game`.
        ring (float, optional): Width of the ring as a share of the image's size, in
                    [0, 1]; 0 is no ring.
                    Default: 0.1 (22 pixels at 224)

    Returns:
        EnergyShares: lesion, ring and background, each of shape (N,).

    Raises:

        TypeError: As :func:`pointing_game`.
        ValueError: As :func:`pointing_game`, or if ring is not in [0, 1].

    Examples::

        >>> attr = torch.tensor([[[6.0, 3.0, 1.0, 0.0]]])
        >>> shares = energy_shares(attr, torch.tensor([[1, 0, 0, 0]]))
        >>> shares.lesion, shares.ring, shares.background
        (tensor([0.6000]), tensor([0.3000]), tensor([0.1000]))
    """
    if not is_number(ring) or not 0 <= ring <= 1:
        raise ValueError(f"ring={ring!r} must be a share of the image's size, from 0 to 1.")
    maps, inside = _aligned(attributions, masks)
    dilated = inside
    if ring > 0:
        radii = [max(1, round(ring * size)) for size in maps.shape[2:]]
        dilated = _dilated(inside, radii)
    return EnergyShares(
        _share(maps, inside), _share(maps, dilated & ~inside), _share(maps, ~dilated)
    )


def _aligned(attributions: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The normalized maps and the masks as booleans, both of shape (N, 1, *spatial)."""
    for name, value in (("attributions", attributions), ("masks", masks)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be one Tensor; got {type(value).__name__}.")
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
            "masks must be booleans or zeros and ones; got other values. Masks stored as "
            "images of 0 and 255 become so by masks > 0."
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
