"""How much probability the class gains when only what a map shows is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.metrics._confidence import masked_confidence
from captum_clustered.metrics._filling import Filling


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
