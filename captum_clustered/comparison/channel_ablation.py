"""Captum's LayerFeatureAblation for each channel: Ablation-CAM."""

from __future__ import annotations

from typing import Any

import torch
from captum._utils.typing import TargetType
from captum.attr import LayerAttribution, LayerFeatureAblation
from captum.log import log_usage
from torch import Tensor

from captum_clustered.comparison.controls import layer_values


class ChannelAblation(LayerAttribution):
    r"""
    Ablation-CAM by Captum's ``LayerFeatureAblation``.

    Each channel is ablated by itself, by zero, and weighs its map by how far the score
    falls: :math:`\sum_c d_c A_c`. Unlike in the paper (Desai and Ramaswamy, WACV 2020)
    drops are not divided by the score, which a normalized map would not show, but for a
    negative score, where it would turn the map around.

    The model runs once for each channel.
    """

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Tensor,
        target: TargetType = None,
        additional_forward_args: object = None,
        attribute_to_layer_input: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        r"""
        Args:

            inputs (Tensor): Images of shape (N, channels, \*spatial).
            target (int, tuple, Tensor or list, optional): As in Captum.
                        Default: None
            additional_forward_args (Any, optional): As in Captum.
                        Default: None
            attribute_to_layer_input (bool, optional): As in Captum.
                        Default: False
            **kwargs: Further arguments of LayerFeatureAblation.

        Returns:
            Tensor: Of shape (N, 1, \*spatial of the layer).
        """
        values = layer_values(self, inputs, additional_forward_args, attribute_to_layer_input)
        channels = torch.arange(values.shape[1], device=values.device)
        drops = LayerFeatureAblation(self.forward_func, self.layer).attribute(
            inputs,
            target=target,
            additional_forward_args=additional_forward_args,
            layer_mask=channels.view(1, -1, *[1] * (values.dim() - 2)),
            attribute_to_layer_input=attribute_to_layer_input,
            **kwargs,
        )
        if isinstance(drops, tuple):
            drops = drops[0]
        return (drops * values).sum(1, keepdim=True)
