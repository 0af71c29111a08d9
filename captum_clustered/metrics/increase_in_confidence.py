"""Whether the class becomes more probable when only what a map shows is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.metrics._confidence import masked_confidence
from captum_clustered.metrics._filling import Filling


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
