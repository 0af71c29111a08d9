"""How much of the image a map covers."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_clustered.metrics._masking import explanation_mask


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
