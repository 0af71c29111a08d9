"""From an attribution to a mask on the input."""

from __future__ import annotations

import math
import numbers
from typing import Any, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_clustered.input_attribution import LINEAR


def explanation_mask(attributions: Tensor, inputs: Tensor, name: str = "attributions") -> Tensor:
    r"""
    The attribution as a mask in [0, 1] of shape (N, 1, \*spatial of the inputs).

    What speaks against the target is cut off (ReLU), the map is brought to the input's
    size (linearly) and then stretched to [0, 1] for each example. A constant map says
    nothing about where, and becomes a mask of zeros.

    Args:

        attributions (Tensor): Shape (N, c, \*spatial) of any size; summed over c.
        inputs (Tensor): Shape (N, channels, \*spatial).
        name (str, optional): What messages call the attributions.
                    Default: "attributions"

    Raises:

        TypeError: If one of them is no tensor, or the attributions are complex.
        ValueError: If the shapes do not go together, or the attributions are not finite.
    """
    _check(attributions, inputs, name)
    # Before the sum, which half precision could not hold.
    maps = attributions.detach().to(torch.promote_types(attributions.dtype, torch.float32))
    maps = torch.relu(maps.sum(1, keepdim=True))
    maps = F.interpolate(maps, tuple(inputs.shape[2:]), mode=LINEAR[inputs.dim() - 2])
    flat = maps.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    shape = (-1, *[1] * (maps.dim() - 1))
    span = (high - low).view(shape)
    # 0 / 0 for a constant map.
    return torch.where(span > 0, (maps - low.view(shape)) / span, 0)


def pixel_ranks(maps: Tensor, descending: bool = True) -> Tensor:
    r"""
    The rank of each pixel among those of its example, 0 for the first to be taken.

    Among equal pixels the first in reading order comes first, in both directions.

    Args:

        maps (Tensor): Shape (N, 1, \*spatial).
        descending (bool, optional): Whether the largest value comes first.
                    Default: True

    Returns:
        Tensor: Integers of the maps' shape.
    """
    order = maps.flatten(1).argsort(stable=True, dim=1, descending=descending)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view_as(maps)


def hard_mask(mask: Tensor, keep: float) -> Tensor:
    r"""
    Ones at the share ``keep`` of the pixels where the mask is largest, zeros elsewhere.

    Exactly ``round(keep * n_pixels)`` ones (Python's ``round``), among equal pixels those
    first in reading order. An all-zero mask, which comes of a constant map, stays zero:
    it prefers no pixel, so none is kept.

    Args:

        mask (Tensor): What :func:`explanation_mask` returns.
        keep (float): In [0, 1].

    Raises:

        ValueError: If keep is not in [0, 1].
    """
    if not is_number(keep) or not 0 <= keep <= 1:
        raise ValueError(f"keep={keep!r} must be None or a share of the pixels, from 0 to 1.")
    kept = pixel_ranks(mask) < round(keep * mask[0].numel())
    says_something = mask.flatten(1).any(1).view(-1, *[1] * (mask.dim() - 1))
    return (kept & says_something).to(mask.dtype)


def is_number(value: Any) -> bool:
    """Whether an argument is a real number, Python's or numpy's."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _check(attributions: Tensor, inputs: Tensor, name: str) -> None:
    for argument, value in ((name, attributions), ("inputs", inputs)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{argument} must be one Tensor; got {type(value).__name__}.")
    if (
        attributions.dim() != inputs.dim()
        or inputs.dim() - 2 not in LINEAR
        or len(attributions) != len(inputs)
    ):
        raise ValueError(
            f"{name} of shape {tuple(attributions.shape)} do not fit inputs of shape "
            f"{tuple(inputs.shape)}: both must be (N, channels, *spatial) with the same number of "
            "examples and of spatial dimensions (one to three)."
        )
    if not attributions.numel() or not inputs.numel():
        raise ValueError(
            f"{name} of shape {tuple(attributions.shape)} and inputs of shape "
            f"{tuple(inputs.shape)}: there must be at least one example, none of them empty."
        )
    if attributions.is_complex():
        raise TypeError(f"{name} must be of real numbers; got {attributions.dtype}.")
    if not torch.isfinite(attributions).all():
        raise ValueError(f"{name} must be finite; there is NaN or infinity among them.")


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
