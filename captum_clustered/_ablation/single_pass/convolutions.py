"""Convolutions and batch normalizations, as what they compute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_clustered._ablation.batches import are_plain_parameters

Pair = tuple[int, int]
CONVOLUTIONS = frozenset(
    {
        *(torch.conv1d, torch.conv2d, torch.conv3d),
        *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
    }
)


@dataclass(frozen=True)
class Convolution:
    """
    A convolution of images, ``torch.conv2d``.

    Attributes:

        weight (Tensor): Shape (O, C / groups, kernel height, kernel width).
        bias (Tensor or None): Shape (O,).
        stride, padding, dilation (tuple of int): One value for each dimension.
        groups (int): Number of groups of channels.
    """

    weight: Tensor
    bias: Tensor | None
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @classmethod
    def of(
        cls,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Convolution | None:
        """Take the arguments of ``torch.conv2d``; return None if they are not understood."""
        sizes = (_pair(stride), _pair(padding), _pair(dilation))
        if not are_plain_parameters(weight, bias) or weight.dim() != 4 or None in sizes:
            return None
        return cls(weight, bias, *cast(tuple[Pair, Pair, Pair], sizes), groups)

    @property
    def is_linear(self) -> bool:
        """Whether it is a linear layer at each position, or at some of them."""
        return self.weight.shape[2:] == (1, 1) and self.padding == (0, 0) and self.groups == 1

    def __call__(self, images: Tensor) -> Tensor:
        """Return the output for images (N, C, H, W)."""
        return F.conv2d(
            images, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )

    def output_shape(self, shape: torch.Size) -> tuple[int, ...] | None:
        """Return the shape of the output; None for images that are refused."""
        if len(shape) != 4 or shape[1] != self.weight.shape[1] * self.groups:
            return None
        reach = [d * (k - 1) for d, k in zip(self.dilation, self.weight.shape[2:], strict=True)]
        sides = [
            (side + 2 * p - r - 1) // s + 1
            for side, p, r, s in zip(shape[2:], self.padding, reach, self.stride, strict=True)
        ]
        return (shape[0], len(self.weight), *sides) if min(sides) > 0 else None

    def scaled(self, scale: Tensor, shift: Tensor) -> Convolution:
        """Return the convolution whose output is this one's times scale (O,) plus shift (O,)."""
        bias = shift if self.bias is None else torch.addcmul(shift, self.bias, scale)
        # In the layout that a convolution of images with channels last would copy it to.
        weight = torch.empty_like(self.weight, memory_format=torch.channels_last)
        torch.mul(self.weight, scale.view(-1, 1, 1, 1), out=weight)
        return replace(self, weight=weight, bias=bias)

    def patches(self, image: Tensor) -> Tensor:
        """
        Return what the kernel sees of an image (C, H, W), at each of P output positions.

        Returns:
            Tensor: Shape (C, kernel size, P). Without groups, the output is the sum of its
            products with :meth:`kernels`, and of the bias.
        """
        if self.is_linear:
            rows, columns = self.stride
            return image[:, None, ::rows, ::columns].flatten(2)
        found = F.unfold(
            image[None], self.weight.shape[2:], self.dilation, self.padding, self.stride
        )[0]
        return found.view(len(image), -1, found.shape[1])

    def kernels(self) -> Tensor:
        """Return the weight as (C, kernel size, O)."""
        # Torch transposes matrices several times faster than tensors of three dimensions.
        columns = self.weight.flatten(1).t().contiguous()
        return columns.unflatten(0, (self.weight.shape[1], -1))


def _pair(value: Any) -> Pair | None:
    if isinstance(value, int):
        return (value, value)
    is_known = isinstance(value, (tuple, list)) and all(type(v) is int for v in value)
    if not is_known or len(value) not in (1, 2):
        return None
    return (value[0], value[-1])


def scale_and_shift(
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor] | None:
    """
    Return by what a batch normalization multiplies each channel, and what it adds.

    Takes the arguments of ``F.batch_norm`` behind the first. Returns None if they depend on the
    batch or are not understood.
    """
    if training or not are_plain_parameters(running_mean, running_var, weight, bias):
        return None
    scale = (running_var + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -running_mean * scale
    return scale, shift if bias is None else shift + bias
