"""Faithfulness: the class probability when only what a map shows is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.metrics._confidence import masked_confidence
from captum_clustered.metrics._masking import Filling


def average_drop(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    filling: Filling = 0.0,
    keep: float | None = None,
) -> Tensor:
    r"""
    Drop of the class probability when only what the explanation shows is kept.

    The attribution becomes a mask m on the input: ReLU, interpolated to the input,
    min-max normalized to [0, 1]. With p the probability of the target on the input x and
    o that on the explanation ``m * x + (1 - m) * filling``, an example's drop is
    ``100 * max(0, p - o) / p`` per cent, and 0 where p is 0. The mean over examples is
    the average drop of Chattopadhay et al., "Grad-CAM++", WACV 2018, equation 12; ``keep``
    makes it that of Wang et al., "Score-CAM", CVPR Workshops 2020, section 4.2, whose mask
    is the half of the pixels where the map is largest.

    In [0, 100]; lower is better. It is won by maps that keep everything: one that is
    constant but for a single pixel ("Fake-CAM", Poppi et al., CVPR Workshops 2021) loses
    next to nothing, and so does a Gaussian in the middle. ``keep`` takes that from the
    first of them, not from the second. Never judge by it alone, and compare fillings:
    black is an ordinary color in ultrasound.

    Args:

        forward_func (Callable): Returns probabilities; :func:`scores.probability
                    <captum_clustered.scores.probability>` makes it so for a network that
                    returns logits.
        inputs (Tensor): Shape (N, channels, \*spatial) with one to three spatial
                    dimensions.
        attributions (Tensor): Shape (N, c, \*spatial) of any size. Constant maps, among
                    them all-zero ones, become masks of zeros.
        target (int, tuple, Tensor or list, optional): As in Captum.
                    Default: None
        additional_forward_args (Any, optional): As in Captum.
                    Default: None
        filling (float, str or Tensor, optional): What stands where the mask is 0. A
                    number, for every element, where 0 is the mean color of normalized
                    images; ``"mean"``, the mean of each channel of each example;
                    ``"blur"``, the input blurred by a Gaussian whose standard deviation
                    is a twentieth of the input's size (11 pixels at 224); or a tensor
                    that broadcasts to inputs.
                    Default: 0.0
        keep (float, optional): A share in [0, 1]: instead of the soft mask, a hard one of
                    exactly ``round(keep * n_pixels)`` pixels, those with the largest
                    values; among equal ones, the first in reading order. A constant map
                    prefers no pixel, and still keeps none.
                    Default: None (the soft mask)

    Returns:
        Tensor: Drop of each example in per cent, shape (N,).

    Raises:

        TypeError: If inputs or attributions are no tensor, inputs are no floating-point
                    numbers, or filling is of no accepted kind.
        ValueError: If forward_func returns values outside of [0, 1], so no probabilities,
                    if the shapes do not go together, if attributions are not finite, or
                    if target, filling or keep is not one of the accepted values.

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> drop = average_drop(scores.probability(net), input, attr, target=1)
        >>> drop.mean() < 100
        tensor(True)
    """
    with torch.no_grad():
        before, after = masked_confidence(
            forward_func, inputs, attributions, target, additional_forward_args, filling, keep
        )
        return torch.where(before > 0, 100 * (before - after).clamp(min=0) / before, 0)


def average_gain(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    filling: Filling = 0.0,
    keep: float | None = None,
) -> Tensor:
    r"""
    Gain of the class probability when only what the explanation shows is kept.

    With p the probability of the target on the input and o that on the explanation, both
    as in :func:`average_drop`, an example's gain is ``100 * max(0, o - p) / (1 - p)`` per
    cent, and 0 where p is 1. The mean over examples is the average gain of Zhang et al.,
    "Opti-CAM: Optimizing saliency maps for interpretability", 2023 (arXiv 2301.07002),
    made to be read together with the average drop: an example has a drop or a gain.

    In [0, 100]; higher is better. It punishes what the average drop rewards, since a map
    that keeps everything gains nothing. It is won by masks that push the input towards
    the class, whether or not the network looked there: maps optimized for o, and on
    images with an object in the middle a Gaussian there. Where p is nearly 1, a
    rounding error of o is a large share of 1 - p.

    Args:

        forward_func, inputs, attributions, target, additional_forward_args, filling,
                    keep: As in :func:`average_drop`.

    Returns:
        Tensor: Gain of each example in per cent, shape (N,).

    Raises:

        TypeError, ValueError: As :func:`average_drop`.

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> gain = average_gain(scores.probability(net), input, attr, target=1, filling="mean")
        >>> gain.shape
        torch.Size([2])
    """
    with torch.no_grad():
        before, after = masked_confidence(
            forward_func, inputs, attributions, target, additional_forward_args, filling, keep
        )
        return torch.where(before < 1, 100 * (after - before).clamp(min=0) / (1 - before), 0)


def increase_in_confidence(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    filling: Filling = 0.0,
    keep: float | None = None,
) -> Tensor:
    r"""
    Whether the class is more probable when only what the explanation shows is kept.

    With p the probability of the target on the input and o that on the explanation, both
    as in :func:`average_drop`, an example counts ``100 * (o > p)``. The mean over examples
    is the increase in confidence of Chattopadhay et al., "Grad-CAM++", WACV 2018, in per
    cent of the examples.

    0 or 100 for one example; higher is better. It does not see by how much: a map that is
    constant but for a single pixel, whose o is p and a rounding error, comes out by
    chance, and a Gaussian in the middle of the image beats most maps on photographs with
    an object there. :func:`average_gain` weighs the increase.

    Args:

        forward_func, inputs, attributions, target, additional_forward_args, filling,
                    keep: As in :func:`average_drop`.

    Returns:
        Tensor: 100 for each example with an increase, 0 for the others, shape (N,).

    Raises:

        TypeError, ValueError: As :func:`average_drop`.

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> increase = increase_in_confidence(scores.probability(net), input, attr, target=1)
        >>> increase.shape
        torch.Size([2])
    """
    with torch.no_grad():
        before, after = masked_confidence(
            forward_func, inputs, attributions, target, additional_forward_args, filling, keep
        )
        return 100 * (after > before).to(before.dtype)
