"""How much of the class's probability is lost when only what a map shows is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.common import _run_forward, _select_targets
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.evaluation import per_example
from captum_clustered.metrics.masking import explanation_mask


def average_drop(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
) -> Tensor:
    r"""
    Drop of the class probability when the input is multiplied by its explanation.

    With p the probability of the target on the input and o that on the input times the
    attribution (ReLU, interpolated to the input, min-max normalised to [0, 1]), an
    example's drop is ``100 * max(0, p - o) / p`` per cent, and 0 where p is 0; the mean
    over examples is the average drop of Chattopadhay et al., "Grad-CAM++", WACV 2018,
    equation 12.

    In [0, 100]; lower is better. It is won by maps that keep everything: one that is
    constant but for a single pixel loses next to nothing, and so does a blob in the
    middle. Never judge by it alone.

    Args:

        forward_func (Callable): Returns probabilities; :func:`scores.probability
                    <captum_clustered.scores.probability>` makes it so for a network that
                    returns logits.
        inputs (Tensor): Shape (N, channels, \*spatial). Multiplication by 0 makes an
                    element 0, which for normalised images is the mean colour.
        attributions (Tensor): Shape (N, c, \*spatial) of any size. Constant maps, among
                    them all-zero ones, become masks of zeros.
        target (int, tuple, Tensor or list, optional): As in Captum.
                    Default: None
        additional_forward_args (Any, optional): As in Captum.
                    Default: None

    Returns:
        Tensor: Drop of each example in per cent, shape (N,).

    Raises:

        ValueError: If forward_func returns values outside of [0, 1], so no probabilities,
                    or if the shapes do not go together.

    Examples::

        >>> attr = ClusteredLayerCAM(net, net.conv4).attribute(input, target=3)
        >>> drop = average_drop(scores.probability(net), input, attr, target=3)
        >>> drop.mean()
    """
    with torch.no_grad():
        masked = inputs * explanation_mask(attributions, inputs).to(inputs.dtype)
        before = _probability(forward_func, inputs, target, additional_forward_args)
        after = _probability(forward_func, masked, target, additional_forward_args)
        return torch.where(before > 0, 100 * (before - after).clamp(min=0) / before, 0)


def _probability(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    target: TargetType,
    additional_forward_args: Any,
) -> Tensor:
    output = _run_forward(forward_func, inputs, None, additional_forward_args)
    # All classes are looked at: a target's logit alone could lie in [0, 1] by chance.
    # Half precision may round a probability up by this much.
    slack = 1e-3
    if not isinstance(output, Tensor) or output.min() < 0 or output.max() > 1 + slack:
        raise ValueError(
            "forward_func must return probabilities, in [0, 1], and here it does not. Wrap a "
            "network that returns logits in captum_clustered.scores.probability."
        )
    return per_example(_select_targets(output, target), len(inputs))
