"""What stands where a mask hides the input."""

from __future__ import annotations

import math
from typing import Union

import torch
from torch import Tensor

from captum_clustered.metrics._masking import is_number

Filling = Union[float, str, Tensor]

# Standard deviation of the blur as a share of the image's size: 11 pixels at 224.
BLUR = 1 / 20


def fill(inputs: Tensor, filling: Filling) -> Tensor:
    r"""
    The input with everything hidden, in the inputs' shape and dtype.

    Args:

        inputs (Tensor): Shape (N, channels, \*spatial).
        filling (float, str or Tensor): A number, for every element (0 is the mean color
                    of normalized images); ``"mean"``, the mean of each channel of each
                    example; ``"blur"``, the input blurred by a Gaussian whose standard
                    deviation is a twentieth of the size along each spatial dimension
                    (:func:`gaussian_blur`); or a tensor that broadcasts to the inputs.

    Raises:

        TypeError: If the inputs are no floating-point numbers or filling is of no
                    accepted kind.
        ValueError: If filling is an unknown word, does not broadcast or is not finite.
    """
    if not inputs.is_floating_point():
        raise TypeError(f"inputs must be of a floating-point dtype; got {inputs.dtype}.")
    if isinstance(filling, Tensor):
        if not torch.isfinite(filling).all():
            raise ValueError("filling must be finite; there is NaN or infinity in the Tensor.")
        try:
            return filling.to(inputs).expand_as(inputs)
        except RuntimeError:
            raise ValueError(
                f"filling of shape {tuple(filling.shape)} does not broadcast to inputs of shape "
                f"{tuple(inputs.shape)}."
            ) from None
    if isinstance(filling, str):
        if filling == "mean":
            dims = tuple(range(2, inputs.dim()))
            return inputs.mean(dims, keepdim=True).expand_as(inputs)
        if filling == "blur":
            return gaussian_blur(inputs)
        raise ValueError(f"filling={filling!r} must be a number, 'mean', 'blur' or a Tensor.")
    if not is_number(filling):
        raise TypeError(
            f"filling must be a number, 'mean', 'blur' or a Tensor; got {type(filling).__name__}."
        )
    if not math.isfinite(filling):
        raise ValueError(f"filling={filling!r} must be finite.")
    return torch.full_like(inputs, float(filling))


def masked_inputs(inputs: Tensor, mask: Tensor, filling: Filling) -> Tensor:
    r"""
    The inputs where the mask is 1, the filling where it is 0, their mixture between.

    Args:

        inputs (Tensor): Shape (N, channels, \*spatial).
        mask (Tensor): Shape (N, 1, \*spatial), in [0, 1].
        filling (float, str or Tensor): As in :func:`fill`.

    Raises:

        TypeError, ValueError: As :func:`fill`.
    """
    canvas = fill(inputs, filling)
    mask = mask.to(inputs)
    return mask * inputs + (1 - mask) * canvas


def gaussian_blur(inputs: Tensor) -> Tensor:
    r"""
    Each channel blurred along one to three spatial dimensions.

    Along a dimension of size L, a pixel becomes the mean of all pixels of the line with
    weights ``exp(-d^2 / (2 s^2))`` of their distance d, where s = L / 20, normalized to a
    sum of 1 among the pixels that exist: nothing is padded or cut off.

    Args:

        inputs (Tensor): Shape (N, channels, \*spatial).
    """
    blurred = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
    for dim in range(2, inputs.dim()):
        size = inputs.shape[dim]
        place = torch.arange(size, device=inputs.device, dtype=blurred.dtype)
        distance = (place - place[:, None]) / (BLUR * size)
        weights = (-0.5 * distance.square()).softmax(1)
        blurred = (blurred.movedim(dim, -1) @ weights.T).movedim(-1, dim)
    return blurred.to(inputs.dtype).contiguous()
