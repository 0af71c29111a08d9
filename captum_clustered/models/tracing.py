"""The shapes that a network's modules see in a forward pass, and how these lie in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from captum_clustered._errors import explained
from captum_clustered.models.base import Model
from captum_clustered.tokens import token_grid

__all__ = ["CHANNELS_LAST", "MAP", "TOKENS", "Call", "Forward", "LayerKind", "kind_of", "trace"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerKind:
    """
    How a layer's tensor lies in space.

    Attributes:

        name (str): "map", "map, channels last" or "tokens".
        channel_dim (int): The dimension of channels, as ClusteredLayerCAM takes it.
    """

    name: str
    channel_dim: int


MAP = LayerKind("map", 1)
CHANNELS_LAST = LayerKind("map, channels last", -1)
TOKENS = LayerKind("tokens", -1)


def kind_of(shape: Shape) -> LayerKind | None:
    """
    Return how a layer's tensor for a square image lies in space, None if it is no map.

    Nothing in a tensor marks the dimension of channels. But a square image has square maps,
    and the number of its tokens is a square, apart from a class token.
    """
    if len(shape) == 4:
        height, width = shape[2:]
        if shape[1] == height != width and height > 1:
            return CHANNELS_LAST
        return MAP if height * width > 1 else None
    if len(shape) == 3 and token_grid(shape[1]):
        return TOKENS
    return None


@dataclass(frozen=True)
class Call:
    """Shapes of the floating-point tensors in a module's last call."""

    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]


@dataclass(frozen=True)
class Forward:
    """The calls of a forward pass, in the order in which modules finish, and its logits."""

    calls: dict[nn.Module, Call]
    output: Tensor


def trace(model: Model, inputs: Tensor) -> Forward:
    """Run the network once, in evaluation mode, and note the shapes that each module sees."""
    calls: dict[nn.Module, Call] = {}

    def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        # Of a module that is used several times, the last call counts, as in Captum.
        calls.pop(module, None)
        # Keyword arguments count if no positional one is a tensor, as in our own hooks.
        calls[module] = Call(_shapes(args) or _shapes(kwargs), _shapes(output))

    handles = [m.register_forward_hook(hook, with_kwargs=True) for m in model.module.modules()]
    training = [module for module in model.module.modules() if module.training]
    failure = f"{model.name} fails on an input of shape {tuple(inputs.shape)}"
    try:
        # Batch normalization must not learn from an example.
        model.module.eval()
        with explained(failure, ValueError), torch.no_grad():
            output = model.module(inputs)
    finally:
        for module in training:
            module.training = True
        for handle in handles:
            handle.remove()
    if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != len(inputs):
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"{model.name} must return the logits of classes, a tensor of shape (N, n_classes); "
            f"it returned {shape}."
        )
    return Forward(calls, output)


def _shapes(tree: Any) -> tuple[Shape, ...]:
    leaves = pytree.tree_leaves(tree)
    return tuple(tuple(x.shape) for x in leaves if isinstance(x, Tensor) and x.is_floating_point())
