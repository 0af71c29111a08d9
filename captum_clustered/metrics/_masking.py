"""Turn attributions into masks, and masks into masked inputs."""

from __future__ import annotations

import math
import numbers
from typing import Any, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_clustered._argument_checks import check_type
from captum_clustered.input_attribution import LINEAR

Baseline = Union[float, str, Tensor]

# Standard deviation of the blur as a share of the image's size: 11 pixels at 224.
BLUR = 1 / 20


def explanation_mask(attributions: Tensor, inputs: Tensor, name: str = "attributions") -> Tensor:
    r"""
    Return the attribution as a mask in [0, 1], shape (N, 1, \*spatial of the inputs).

    The map is summed over channels, ReLU'd, interpolated linearly to the size of the inputs
    and min-max normalized for each example. A constant map becomes zero. Error messages call
    it ``name``.
    """
    _check(attributions, inputs, name)
    # Convert before the sum, which could overflow in half precision.
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
    Return the rank of each pixel within its example, 0 for the first.

    Equal pixels of maps (N, 1, \*spatial) rank in reading order, in both directions.
    """
    order = maps.flatten(1).argsort(stable=True, dim=1, descending=descending)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view_as(maps)


def hard_mask(mask: Tensor, top_fraction: float) -> Tensor:
    """
    Return a mask of ones at the pixels with the largest values and zeros elsewhere.

    There are exactly ``round(top_fraction * n_pixels)`` ones (Python's ``round``), among
    equal pixels the first in reading order. An all-zero mask, which a constant map gives,
    stays zero.
    """
    if not is_number(top_fraction) or not 0 <= top_fraction <= 1:
        raise ValueError(f"top_fraction={top_fraction!r} must be None or a number from 0 to 1.")
    kept = pixel_ranks(mask) < round(top_fraction * mask[0].numel())
    is_used = mask.flatten(1).any(1).view(-1, *[1] * (mask.dim() - 1))
    return (kept & is_used).to(mask.dtype)


def is_number(value: Any) -> bool:
    """Return whether a value is a real number, of Python or numpy."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_tensors(**arguments: Any) -> None:
    """Raise TypeError unless all arguments are tensors."""
    for name, value in arguments.items():
        check_type(name, value, Tensor, "one Tensor")


def _check(attributions: Tensor, inputs: Tensor, name: str) -> None:
    check_tensors(**{name: attributions, "inputs": inputs})
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
        raise TypeError(f"{name} must be real; got {attributions.dtype}.")
    if not torch.isfinite(attributions).all():
        raise ValueError(f"{name} must be finite; they have NaN or infinity.")


def baseline_inputs(inputs: Tensor, baseline: Baseline) -> Tensor:
    """Return what replaces hidden pixels, in the shape and dtype of the inputs."""
    if not inputs.is_floating_point():
        raise TypeError(f"inputs must be of a floating-point dtype; got {inputs.dtype}.")
    if isinstance(baseline, Tensor):
        if not torch.isfinite(baseline).all():
            raise ValueError("baseline must be finite; it has NaN or infinity.")
        try:
            return baseline.to(inputs).expand_as(inputs)
        except RuntimeError:
            raise ValueError(
                f"baseline of shape {tuple(baseline.shape)} does not broadcast to inputs of shape "
                f"{tuple(inputs.shape)}."
            ) from None
    if isinstance(baseline, str):
        if baseline == "mean":
            dims = tuple(range(2, inputs.dim()))
            return inputs.mean(dims, keepdim=True).expand_as(inputs)
        if baseline == "blur":
            return gaussian_blur(inputs)
        raise ValueError(f"baseline={baseline!r} must be a number, 'mean', 'blur' or a Tensor.")
    if not is_number(baseline):
        raise TypeError(
            f"baseline must be a number, 'mean', 'blur' or a Tensor; got {type(baseline).__name__}."
        )
    if not math.isfinite(baseline):
        raise ValueError(f"baseline={baseline!r} must be finite.")
    return torch.full_like(inputs, float(baseline))


def masked_inputs(inputs: Tensor, mask: Tensor, baseline: Baseline) -> Tensor:
    r"""
    Return the inputs where the mask is 1, the baseline where it is 0, and mixtures between.

    Inputs have shape (N, channels, \*spatial), masks (N, 1, \*spatial) and values in [0, 1].
    """
    hidden = baseline_inputs(inputs, baseline)
    mask = mask.to(inputs)
    return mask * inputs + (1 - mask) * hidden


def gaussian_blur(inputs: Tensor) -> Tensor:
    """
    Blur each channel along one to three spatial dimensions.

    Along a dimension of size L, a pixel becomes the weighted mean of all pixels of its line.
    The weights are ``exp(-d^2 / (2 s^2))`` with the distance d and s = L / 20, normalized to
    a sum of 1. Nothing is padded or cut off.
    """
    blurred = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
    for dim in range(2, inputs.dim()):
        size = inputs.shape[dim]
        place = torch.arange(size, device=inputs.device, dtype=blurred.dtype)
        distance = (place - place[:, None]) / (BLUR * size)
        weights = (-0.5 * distance.square()).softmax(1)
        blurred = (blurred.movedim(dim, -1) @ weights.T).movedim(-1, dim)
    return blurred.to(inputs.dtype).contiguous()
