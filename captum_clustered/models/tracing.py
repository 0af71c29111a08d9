"""The shapes that a network's modules see in a forward pass, and how these lie in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from captum_clustered._argument_checks import shape_of
from captum_clustered._errors import explained
from captum_clustered._layer_shapes import Shape
from captum_clustered.models.base import Model


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
        raise ValueError(
            f"{model.name} must return the logits of classes, a tensor of shape (N, n_classes); "
            f"it returned {shape_of(output)}."
        )
    return Forward(calls, output)


def _shapes(tree: Any) -> tuple[Shape, ...]:
    leaves = pytree.tree_leaves(tree)
    return tuple(tuple(x.shape) for x in leaves if isinstance(x, Tensor) and x.is_floating_point())
