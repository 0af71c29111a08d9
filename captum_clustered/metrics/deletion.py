"""How fast the class disappears when a map's pixels are deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.metrics._filling import Filling
from captum_clustered.metrics.perturbation_curve import area_under, perturbation_curve


def deletion_curve(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    filling: Filling = 0.0,
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    The class probability while the most important pixels are the first to go.

    Point i of the curve is the probability of the target on the input, with the filling
    at those ``i / n_steps`` of the places (rounded to whole pixels, half up) where the
    map is largest: Petsiuk et al., "RISE", BMVC 2018. The map is ReLU'd and
    interpolated to the input as in :func:`average_drop`.

    In [0, 1]; the earlier it falls, the better. For what games it see :func:`deletion`.

    Args:

        forward_func, inputs, attributions, target, additional_forward_args, n_steps,
                    max_examples_per_batch: As in :func:`insertion_curve`.
        filling (float, str or Tensor, optional): What takes the place of a deleted
                    pixel, as in :func:`average_drop`.
                    Default: 0.0

    Returns:
        Tensor: Shape (N, n_steps + 1), from the input itself to the filling alone.

    Raises:

        TypeError, ValueError: As :func:`insertion_curve`.

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> curve = deletion_curve(scores.probability(net), input, attr, target=1, n_steps=10)
        >>> curve.shape
        torch.Size([2, 11])
    """
    with torch.no_grad():
        return perturbation_curve(
            forward_func,
            inputs,
            attributions,
            target,
            additional_forward_args,
            inserting=False,
            filling=filling,
            n_steps=n_steps,
            max_examples_per_batch=max_examples_per_batch,
        )


def deletion(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    filling: Filling = 0.0,
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    Area under the :func:`deletion_curve` over the share of pixels, by trapezoids.

    In [0, 1]; lower is better. Only the order of the pixels counts. Any pixels whose
    removal leaves nothing like a picture win, whether or not they show the class:
    scattered ones more than a region, as in adversarial perturbations. Where the filling
    looks natural, as black does in ultrasound, it measures something else than where it
    does not: compare with ``filling="blur"``.

    Args:

        forward_func, inputs, attributions, target, additional_forward_args, filling,
                    n_steps, max_examples_per_batch: As in :func:`deletion_curve`.

    Returns:
        Tensor: Area of each example, shape (N,).

    Raises:

        TypeError, ValueError: As :func:`insertion_curve`.

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> deletion(scores.probability(net), input, attr, target=1).shape
        torch.Size([2])
    """
    curve = deletion_curve(
        forward_func,
        inputs,
        attributions,
        target,
        additional_forward_args,
        filling=filling,
        n_steps=n_steps,
        max_examples_per_batch=max_examples_per_batch,
    )
    return area_under(curve, inputs)
