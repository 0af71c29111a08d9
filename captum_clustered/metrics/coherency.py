"""Whether a map stays the same when the image is masked by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from captum_clustered.metrics._filling import masked_inputs
from captum_clustered.metrics._masking import explanation_mask


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
