"""Complexity, coherency and their combination with the average drop, ADCC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.metrics._masking import explanation_mask, masked_inputs
from captum_clustered.metrics._registry import metric
from captum_clustered.metrics.faithfulness import average_drop

__all__ = ["adcc", "coherency", "complexity"]


@metric(
    "complexity",
    direction="lower",
    meaning="mean of m: how much of the image the map shows",
    values="0 to 1",
    won_by="a single pixel; a constant map has 0",
)
def complexity(attributions: Tensor, inputs: Tensor) -> Tensor:
    r"""
    Compute the mean of the normalized map over the pixels, ``||m||_1 / n_pixels``.

    Poppi et al., "Revisiting the evaluation of class activation mapping for
    explainability", CVPR Workshops 2021, divided by the number of pixels as in their
    published numbers. It does not depend on the network.

    Returns:
        Tensor: Complexity of each example, shape (N,).

    Examples::

        >>> attr = torch.tensor([[[[4.0, 2.0], [2.0, 0.0]]]])
        >>> complexity(attr, torch.zeros(1, 3, 2, 2))
        tensor([0.5000])
    """
    with torch.no_grad():
        return explanation_mask(attributions, inputs).flatten(1).mean(1)


@metric(
    "coherency",
    direction="higher",
    meaning="`(r + 1) / 2`, r the correlation of m with the map of `m * x`; 0.5 if one is constant",
    values="0 to 1",
    won_by="maps that do not depend on the input",
)
def coherency(
    explanation_func: Callable[..., Tensor], inputs: Tensor, attributions: Tensor, **kwargs: Any
) -> Tensor:
    r"""
    Compute the correlation of the map with the map of the masked input.

    With the mask m of the attribution, it is ``(r + 1) / 2`` with Pearson's correlation r
    over the pixels between m and the mask of ``explanation_func(m * x)``. It is 0.5 if one
    of the two is constant. Poppi et al., "Revisiting the evaluation of class activation
    mapping for explainability", CVPR Workshops 2021.

    Args:

        **kwargs (Any, optional): Passed on to explanation_func, as Captum's
                    ``sensitivity_max`` does: the ``target`` and everything else that the
                    attributions were computed with.

    Returns:
        Tensor: Coherency of each example, shape (N,).

    Examples::

        >>> # net takes images and returns logits.
        >>> cam = ClusteredLayerCAM(net, net.conv)
        >>> attr = cam.attribute(input, target=1)
        >>> coherency(cam.attribute, input, attr, target=1).shape
        torch.Size([2])
    """
    with torch.no_grad():
        mask = explanation_mask(attributions, inputs)
        again = explanation_func(masked_inputs(inputs, mask, 0.0), **kwargs)
        name = "the attributions that explanation_func returns"
        r = _correlation(mask, explanation_mask(again, inputs, name).to(mask.device))
        return (r + 1) / 2


@metric(
    "ADCC",
    direction="higher",
    meaning="`3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))`, 0 if a divisor is 0",
    values="0 to 1",
    won_by="a Gaussian in the middle",
)
def adcc(
    explanation_func: Callable[..., Tensor],
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    **kwargs: Any,
) -> Tensor:
    r"""
    Compute the harmonic mean of coherency, 1 - complexity and 1 - average drop.

    It is ``3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))`` with the drop as
    a fraction, and 0 if one of the three terms is 0: Poppi et al., "Revisiting the
    evaluation of class activation mapping for explainability", CVPR Workshops 2021. It is
    computed for each example; the mean over examples is not the harmonic mean of the
    three means.

    A map that keeps everything has a complexity near 1, and so nearly 0. A Gaussian in the
    middle is coherent and simple, and drops little where objects are in the middle.

    Args:

        **kwargs (Any, optional): Passed on to explanation_func, with target and
                    additional_forward_args unless they are None. It may explain another
                    score than forward_func returns, such as the logit.

    Returns:
        Tensor: ADCC of each example, shape (N,).

    Examples::

        >>> # net takes images and returns logits.
        >>> cam = ClusteredLayerCAM(net, net.conv)
        >>> attr = cam.attribute(input, target=1)
        >>> adcc(cam.attribute, scores.probability(net), input, attr, target=1).shape
        torch.Size([2])
    """
    options = {"target": target, "additional_forward_args": additional_forward_args}
    given = {name: value for name, value in options.items() if value is not None}
    with torch.no_grad():
        drop = average_drop(forward_func, inputs, attributions, target, additional_forward_args)
        terms = (
            coherency(explanation_func, inputs, attributions, **given, **kwargs).to(drop.device),
            1 - complexity(attributions, inputs).to(drop.device),
            1 - drop / 100,
        )
        # 3 / infinity is 0 where a term is 0.
        return 3 / torch.stack([1 / term.clamp(min=0) for term in terms]).sum(0)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Pearson's r of each example, 0 where one of the maps is constant."""
    a, b = (maps.flatten(1) - maps.flatten(1).mean(1, keepdim=True) for maps in (first, second))
    norm = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(norm > 0, (a * b).sum(1) / norm, 0).clamp(-1, 1)
