"""
Maps that explain nothing, as layer attributions.

A metric that one of these wins does not tell explanations from none, so they stand in
every table. All of them ignore which class is asked for.
"""

from __future__ import annotations

import zlib
from typing import Any

import torch
from captum._utils.common import _run_forward
from captum.attr import LayerAttribution
from captum.log import log_usage
from torch import Tensor

from captum_clustered._ablation.hooks import record_layer
from captum_clustered.comparison.forward import Forward, digest

# Standard deviation of the center Gaussian, as a share of each side of the image.
CENTRE_SIGMA = 0.25


class FakeCAM(LayerAttribution):
    r"""
    One everywhere but in the first pixel, which is zero.

    Masking with it changes next to nothing, so it has a perfect average drop: Poppi et
    al., "Revisiting the evaluation of class activation mapping for explainability", CVPR
    workshops 2021. It points nowhere: of its many largest values the pointing game takes
    the first in reading order, the second pixel of the image.
    """

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        r"""
        Args:

            inputs (Tensor): Images of shape (N, channels, \*spatial).
            *args, **kwargs: Ignored.

        Returns:
            Tensor: Of shape (N, 1, \*spatial).
        """
        maps = _like(inputs, 1.0)
        maps.flatten(1)[:, 0] = 0
        return maps


class CenterGaussian(LayerAttribution):
    r"""
    A Gaussian in the middle of the image, where most objects are.

    Its standard deviation is a quarter of each side.
    """

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        r"""
        Args:

            inputs (Tensor): Images of shape (N, channels, \*spatial).
            *args, **kwargs: Ignored.

        Returns:
            Tensor: Of shape (N, 1, \*spatial).
        """
        maps = _like(inputs, 1.0)
        for dimension in range(2, maps.dim()):
            size = maps.shape[dimension]
            # Pixel centers at the same distances from both ends.
            place = (torch.arange(size, device=maps.device, dtype=maps.dtype) + 0.5) / size - 0.5
            shape = [-1 if d == dimension else 1 for d in range(maps.dim())]
            maps = maps * torch.exp(-((place / CENTRE_SIGMA) ** 2) / 2).view(shape)
        return maps


class MeanActivation(LayerAttribution):
    r"""The layer's mean over its channels: where it fires, for whichever class."""

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Tensor,
        target: object = None,
        additional_forward_args: object = None,
        attribute_to_layer_input: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        r"""
        Args:

            inputs (Tensor): Images of shape (N, channels, \*spatial).
            target (Any, optional): Ignored.
                        Default: None
            additional_forward_args (Any, optional): As in Captum.
                        Default: None
            attribute_to_layer_input (bool, optional): As in Captum.
                        Default: False
            **kwargs: Ignored.

        Returns:
            Tensor: Of shape (N, 1, \*spatial of the layer).
        """
        return layer_values(self, inputs, additional_forward_args, attribute_to_layer_input).mean(
            1, keepdim=True
        )


class RandomMap(LayerAttribution):
    r"""
    Uniform noise of the layer's size.

    Its seed is ``seed`` and the image itself, so that the same image has the same map in
    whichever batch it comes, and any other image another one.
    """

    def __init__(self, forward_func: Forward, layer: torch.nn.Module, seed: int = 0) -> None:
        r"""
        Args:

            forward_func (Callable): The forward function of the model.
            layer (torch.nn.Module): Layer whose size the maps have.
            seed (int, optional): Seed.
                        Default: 0
        """
        super().__init__(forward_func, layer)
        self.seed = seed

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Tensor,
        target: object = None,
        additional_forward_args: object = None,
        attribute_to_layer_input: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        r"""
        Args:

            inputs (Tensor): Images of shape (N, channels, \*spatial).
            target (Any, optional): Ignored.
                        Default: None
            additional_forward_args (Any, optional): As in Captum.
                        Default: None
            attribute_to_layer_input (bool, optional): As in Captum.
                        Default: False
            **kwargs: Ignored.

        Returns:
            Tensor: Of shape (N, 1, \*spatial of the layer), in [0, 1).
        """
        # The size is looked up each time: were it remembered, a comparison that goes on in
        # another process would count other forward passes.
        values = layer_values(self, inputs, additional_forward_args, attribute_to_layer_input)
        size = (1, *values.shape[2:])
        maps = [
            torch.rand(size, generator=self._generator(image), device="cpu") for image in inputs
        ]
        return torch.stack(maps).to(inputs.device)

    def _generator(self, image: Tensor) -> torch.Generator:
        seed = zlib.crc32(f"{self.seed} {digest(image)}".encode())
        return torch.Generator().manual_seed(seed)


class MaskMap(LayerAttribution):
    r"""
    The true mask of the object: what a map can reach at best in metrics of place.

    The masks of the images to come are set before they come.
    """

    masks: Tensor | None = None

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        r"""
        Args:

            inputs (Tensor): Images of shape (N, channels, \*spatial), or several
                        perturbed ones of each in a row.
            *args, **kwargs: Ignored.

        Returns:
            Tensor: Of shape (N, 1, \*spatial).

        Raises:

            ValueError: If ``masks`` have not been set for these images.
        """
        if self.masks is None or len(inputs) % len(self.masks):
            raise ValueError("masks must be set, one for each image in inputs.")
        maps = self.masks.to(torch.promote_types(inputs.dtype, torch.float32))
        return maps.repeat_interleave(len(inputs) // len(maps), dim=0)


def layer_values(
    attribution: LayerAttribution,
    inputs: Tensor,
    additional_forward_args: object,
    attribute_to_layer_input: bool,
) -> Tensor:
    """
    The layer's tensor, at its last call.

    Raises:

        ValueError: If the layer is not called, or has several tensors.
    """
    with torch.no_grad(), record_layer(attribution.layer, attribute_to_layer_input) as seen:
        _run_forward(attribution.forward_func, inputs, None, additional_forward_args)
    tensors = seen.gathered(attribution.device_ids) if seen.tensors else None
    if tensors is None or len(tensors) != 1:
        found = "forward_func did not call it" if tensors is None else f"it has {len(tensors)}"
        raise ValueError(f"layer must have one tensor; {found}.")
    return tensors[0]


def _like(inputs: Tensor, value: float) -> Tensor:
    dtype = torch.promote_types(inputs.dtype, torch.float32)
    return torch.full((len(inputs), 1, *inputs.shape[2:]), value, dtype=dtype, device=inputs.device)
