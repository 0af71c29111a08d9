"""
Controls: maps that ignore which class is explained, as layer attributions.

They are in every table, because a metric that one of them wins is no evidence for any
method.
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
from captum_clustered._storage.fingerprints import hash_tensor
from captum_clustered.comparison.forward import Forward
from captum_clustered.comparison.registry import MethodInfo

# Standard deviation of the center Gaussian, as a share of each side of the image.
CENTER_SIGMA = 0.25


class FakeCAM(LayerAttribution):
    r"""
    One everywhere except at the first pixel, which is zero.

    Masking with it changes almost nothing, so its average drop is nearly perfect: Poppi et
    al., "Revisiting the evaluation of class activation mapping for explainability", CVPR
    Workshops 2021. Of its many largest values the pointing game takes the first in reading
    order, the second pixel of the image.
    """

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, **kwargs: Any) -> Tensor:
        r"""Return maps of shape (N, 1, \*spatial of the images)."""
        maps = _ones(inputs)
        maps.flatten(1)[:, 0] = 0
        return maps


class CenterGaussian(LayerAttribution):
    r"""
    A Gaussian in the middle of the image, where most objects are.

    Its standard deviation is a quarter of each side.
    """

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, **kwargs: Any) -> Tensor:
        r"""Return maps of shape (N, 1, \*spatial of the images)."""
        maps = _ones(inputs)
        for dimension in range(2, maps.dim()):
            size = maps.shape[dimension]
            # Pixel centers at the same distances from both ends.
            place = (torch.arange(size, device=maps.device, dtype=maps.dtype) + 0.5) / size - 0.5
            shape = [-1 if d == dimension else 1 for d in range(maps.dim())]
            maps = maps * torch.exp(-((place / CENTER_SIGMA) ** 2) / 2).view(shape)
        return maps


class MeanActivation(LayerAttribution):
    r"""The layer's mean over its channels, the same for all classes."""

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, **kwargs: Any) -> Tensor:
        r"""Return maps of shape (N, 1, \*spatial of the layer)."""
        return layer_values(self, inputs, **kwargs).mean(1, keepdim=True)


class RandomMap(LayerAttribution):
    r"""
    Uniform noise of the layer's size.

    It is drawn from ``seed`` and the values of the image, so an image has the same map in
    every batch and different images have different maps.
    """

    def __init__(self, forward_func: Forward, layer: torch.nn.Module, seed: int = 0) -> None:
        super().__init__(forward_func, layer)
        self.seed = seed

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, **kwargs: Any) -> Tensor:
        r"""Return maps of shape (N, 1, \*spatial of the layer), in [0, 1)."""
        # The size is found each time: if it were remembered, a resumed comparison would
        # count fewer forward passes.
        size = (1, *layer_values(self, inputs, **kwargs).shape[2:])
        seeds = [zlib.crc32(f"{self.seed} {hash_tensor(image)}".encode()) for image in inputs]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        maps = [torch.rand(size, generator=each, device="cpu") for each in generators]
        return torch.stack(maps).to(inputs.device)


class MaskMap(LayerAttribution):
    r"""
    The mask of the object: the best map for metrics that compare with the mask.

    Set ``masks`` before each batch of images.
    """

    masks: Tensor | None = None

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, **kwargs: Any) -> Tensor:
        r"""Return maps of shape (N, 1, \*spatial), for inputs or several perturbed ones of each."""
        if self.masks is None or len(inputs) % len(self.masks):
            raise ValueError("masks must be set, one for each image in inputs.")
        maps = self.masks.to(torch.promote_types(inputs.dtype, torch.float32))
        return maps.repeat_interleave(len(inputs) // len(maps), dim=0)


def layer_values(
    attribution: LayerAttribution,
    inputs: Tensor,
    additional_forward_args: object = None,
    attribute_to_layer_input: bool = False,
    **_: Any,
) -> Tensor:
    """Return the layer's tensor at its last call; other arguments of ``attribute`` are ignored."""
    with torch.no_grad(), record_layer(attribution.layer, attribute_to_layer_input) as seen:
        _run_forward(attribution.forward_func, inputs, None, additional_forward_args)
    tensors = seen.gathered(attribution.device_ids) if seen.tensors else None
    if tensors is None or len(tensors) != 1:
        found = "forward_func did not call it" if tensors is None else f"it has {len(tensors)}"
        raise ValueError(f"layer must have one tensor; {found}.")
    return tensors[0]


def _ones(inputs: Tensor) -> Tensor:
    dtype = torch.promote_types(inputs.dtype, torch.float32)
    return inputs.new_ones((len(inputs), 1, *inputs.shape[2:]), dtype=dtype)


CONTROLS = (
    MethodInfo(
        "Fake-CAM", FakeCAM, "control", "one everywhere except at one pixel", is_of_layer=False
    ),
    MethodInfo("random", RandomMap, "control", "noise of the layer's size", is_seeded=True),
    MethodInfo(
        "center Gaussian",
        CenterGaussian,
        "control",
        "a blob in the middle of the image",
        is_of_layer=False,
    ),
    MethodInfo("mean activation", MeanActivation, "control", "mean over the layer's channels"),
    MethodInfo(
        "mask", MaskMap, "control", "the mask of the object", needs_masks=True, is_of_layer=False
    ),
)
