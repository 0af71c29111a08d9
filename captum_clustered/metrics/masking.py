"""From an attribution to a mask on the input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def explanation_mask(attributions: Tensor, inputs: Tensor) -> Tensor:
    r"""
    The attribution as a mask in [0, 1] of shape (N, 1, \*spatial of the inputs).

    What speaks against the target is cut off (ReLU), the map is brought to the input's
    size (linearly) and then stretched to [0, 1] for each example. A constant map says
    nothing about where, and becomes a mask of zeros.

    Args:

        attributions (Tensor): Shape (N, c, \*spatial) of any size; summed over c.
        inputs (Tensor): Shape (N, channels, \*spatial).

    Raises:

        ValueError: If the shapes do not go together.
    """
    spatial = inputs.dim() - 2
    if (
        attributions.dim() != inputs.dim()
        or spatial not in _MODES
        or len(attributions) != len(inputs)
    ):
        raise ValueError(
            f"attributions of shape {tuple(attributions.shape)} do not fit inputs of shape "
            f"{tuple(inputs.shape)}: both must be (N, channels, *spatial) with the same number of "
            "examples and of spatial dimensions (one to three)."
        )
    maps = torch.relu(attributions.detach().sum(1, keepdim=True))
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    maps = F.interpolate(maps, tuple(inputs.shape[2:]), mode=_MODES[spatial])
    flat = maps.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    shape = (-1, *[1] * (maps.dim() - 1))
    span = (high - low).view(shape)
    # 0 / 0 for a constant map.
    return torch.where(span > 0, (maps - low.view(shape)) / span, 0)
