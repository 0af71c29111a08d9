"""Checks of the layer's tensors."""

from __future__ import annotations

import torch

from captum_clustered._ablation.hooks import Tensors


def check_layer(tensors: Tensors, n_examples: int, channel_dim: int, layer_name: str) -> None:
    """Raise ValueError unless there are tensors and all of them are (N, C, ...)."""
    if not tensors:
        raise ValueError(f"layer {layer_name} has no floating-point tensor to attribute to.")
    for tensor in tensors:
        shape = tuple(tensor.shape)
        if tensor.dim() < 2 or tensor.shape[0] != n_examples or tensor.numel() == 0:
            raise ValueError(
                f"layer {layer_name} must have tensors of shape (N, C, ...) with N = {n_examples}, "
                f"the number of examples in inputs; got shape {shape}."
            )
        if not -tensor.dim() < channel_dim < tensor.dim():
            raise ValueError(
                f"channel_dim={channel_dim} is no dimension of channels of layer {layer_name}, "
                f"which has shape {shape}; dimension 0 holds the examples."
            )


def check_finite(tensors: Tensors, layer_name: str) -> None:
    """Raise ValueError unless all activations are finite."""
    for tensor in tensors:
        if not torch.isfinite(tensor).all():
            raise ValueError(
                f"layer {layer_name} has NaN or infinite activations on these inputs, which "
                "cannot be attributed."
            )
