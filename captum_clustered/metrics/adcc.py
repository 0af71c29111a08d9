"""Complexity, coherency and their combination with the average drop, ADCC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.metrics._masking import explanation_mask, masked_inputs
from captum_clustered.metrics.faithfulness import average_drop


def complexity(attributions: Tensor, inputs: Tensor) -> Tensor:
    r"""
    Mean of the normalized map over the pixels, ``||m||_1 / n_pixels``.

    The map m is ReLU'd, interpolated to the input and min-max normalized to [0, 1], as in
    :func:`average_drop`. Poppi et al., "Revisiting the evaluation of class activation
    mapping for explainability", CVPR Workshops 2021; divided by the number of pixels as
    in their published numbers.

    In [0, 1]; lower is better, as less is highlighted. It knows nothing of the network:
    the best maps by it highlight a single pixel, and a constant map, which is normalized
    to zeros, has 0.

    Args:

        attributions (Tensor): Shape (N, c, \*spatial) of any size; summed over c.
        inputs (Tensor): Shape (N, channels, \*spatial); only its size counts.

    Returns:
        Tensor: Complexity of each example, shape (N,).

    Raises:

        TypeError: If inputs or attributions are no tensor.
        ValueError: If the shapes do not go together, or attributions are not finite.

    Examples::

        >>> attr = torch.tensor([[[[4.0, 2.0], [2.0, 0.0]]]])
        >>> complexity(attr, torch.zeros(1, 3, 2, 2))
        tensor([0.5000])
    """
    with torch.no_grad():
        return explanation_mask(attributions, inputs).flatten(1).mean(1)


def coherency(
    explanation_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    **kwargs: Any,
) -> Tensor:
    r"""
    Correlation of the map with the map of what it shows, scaled to [0, 1].

    ``(r + 1) / 2`` with Pearson's correlation r over the pixels between the mask m of the
    attribution and that of ``explanation_func(m * x)``; masks as in
    :func:`average_drop`. Poppi et al., "Revisiting the evaluation of class activation
    mapping for explainability", CVPR Workshops 2021.

    In [0, 1]; higher is better. 0.5 is no correlation, and also the value where one of
    the two maps is constant. It is won by maps that do not depend on the input: a
    Gaussian in the middle is perfectly coherent.

    Args:

        explanation_func (Callable): Returns the attribution of the inputs that it is
                    given, shape (N, c, \*spatial) of any size, such as the ``attribute``
                    of the method that made the attributions.
        inputs (Tensor): Shape (N, channels, \*spatial) with one to three spatial
                    dimensions.
        attributions (Tensor): Shape (N, c, \*spatial) of any size.
        **kwargs (Any, optional): Passed on to explanation_func, as Captum's
                    ``sensitivity_max`` does: the ``target`` and everything else that the
                    attributions were made with.

    Returns:
        Tensor: Coherency of each example, shape (N,).

    Raises:

        TypeError: If inputs, attributions or what explanation_func returns are no tensor,
                    or inputs no floating-point numbers.
        ValueError: If the shapes do not go together, or attributions are not finite.

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


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's r of each example, 0 where one of the maps is constant."""
    a, b = (maps.flatten(1) - maps.flatten(1).mean(1, keepdim=True) for maps in (first, second))
    norm = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(norm > 0, (a * b).sum(1) / norm, 0).clamp(-1, 1)


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
    Harmonic mean of coherency, 1 - complexity and 1 - average drop.

    ``3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))`` with the drop as a
    share, and 0 if one of the three is 0: Poppi et al., "Revisiting the evaluation of
    class activation mapping for explainability", CVPR Workshops 2021. Formed for each
    example; the mean over examples is not the harmonic mean of the three mean values.

    In [0, 1]; higher is better. A map that keeps everything has a complexity near 1 and
    gets next to nothing. It is still gamed: a Gaussian in the middle of the image is
    coherent and simple, and drops little where objects are in the middle.

    Args:

        explanation_func (Callable): Returns the attribution of the inputs that it is
                    given, as in :func:`coherency`. Gets target and
                    additional_forward_args, unless they are None, and kwargs.
        forward_func (Callable): Returns probabilities, as in :func:`average_drop`. What
                    explanation_func explains may be another score, such as the logit.
        inputs (Tensor): Shape (N, channels, \*spatial) with one to three spatial
                    dimensions.
        attributions (Tensor): Shape (N, c, \*spatial) of any size.
        target (int, tuple, Tensor or list, optional): As in Captum.
                    Default: None
        additional_forward_args (Any, optional): As in Captum.
                    Default: None
        **kwargs (Any, optional): Passed on to explanation_func.

    Returns:
        Tensor: ADCC of each example, shape (N,).

    Raises:

        TypeError, ValueError: As :func:`average_drop` and :func:`coherency`.

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
        # 3 / infinity is 0 where a term is.
        return 3 / torch.stack([1 / term.clamp(min=0) for term in terms]).sum(0)
