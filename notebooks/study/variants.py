"""Variants of Clustered-CAM that the grid compares and that are not in the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import LayerActivation, LayerAttribution
from captum.log import log_usage
from torch import Tensor, nn

from captum_clustered import ClusteredLayerCAM


class PositiveClusters(LayerAttribution):
    """
    Clustered-CAM from the clusters whose ablation lowers the score, without the others.

    It is not in the library: its maps are more stable, but average drop at 50% is worse.
    """

    def __init__(
        self, forward_func: Callable[..., Tensor], layer: nn.Module, **kwargs: Any
    ) -> None:
        """
        Args:

            forward_func, layer, **kwargs: As for ClusteredLayerCAM.
        """
        super().__init__(forward_func, layer)
        self.cam = ClusteredLayerCAM(forward_func, layer, **kwargs)

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, **kwargs: Any) -> Tensor:
        """Return the maps, (N, 1, height, width)."""
        _, clusters = self.cam.attribute(inputs, return_clusters=True, **kwargs)
        is_positive = (clusters.importances > 0)[..., None, None]
        return (clusters.maps * is_positive).sum(1, keepdim=True)


class PowerOfActivity(LayerAttribution):
    r"""
    Clustered-CAM with weights between the scalings "density" and "drop".

    The weight of channel c in cluster j is :math:`d_j m_c^p / M_j`, with the mean activity m_c
    of the channel and M_j of the cluster. p = 1 is "drop"; p = 0 is "density" for a layer
    without negative values, up to the number of positions.
    """

    def __init__(
        self, forward_func: Callable[..., Tensor], layer: nn.Module, power: float, **kwargs: Any
    ) -> None:
        """
        Args:

            power (float): The power p.
            forward_func, layer, **kwargs: As for ClusteredLayerCAM.
        """
        super().__init__(forward_func, layer)
        self.power = power
        self.cam = ClusteredLayerCAM(forward_func, layer, scaling="drop", **kwargs)

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, **kwargs: Any) -> Tensor:
        """Return the maps, (N, 1, height, width)."""
        channels: Tensor = self.cam.attribute(inputs, attr_dim_summation=False, **kwargs)
        at_input = kwargs.get("attribute_to_layer_input", False)
        values: Tensor = LayerActivation(self.forward_func, self.layer).attribute(
            inputs, attribute_to_layer_input=at_input
        )
        # "drop" has the weight with p = 1.
        factor = values.abs().mean((2, 3), keepdim=True) ** (self.power - 1)
        factor = torch.where(factor.isfinite(), factor, 0)
        return (channels * factor).sum(1, keepdim=True).detach()
