"""Which layers a network has, and which of them can be shown as a map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from captum_clustered._errors import UserError, close_matches, explained
from captum_clustered.models.load import Model

__all__ = ["Call", "Forward", "Kind", "LayerRow", "find_layer", "list_layers", "trace"]

Shape = tuple[int, ...]
# Modules nested deeper than this are listed on demand.
USUAL_DEPTH = 2


@dataclass(frozen=True)
class Kind:
    """
    How a layer's tensor lies in space.

    Attributes:

        name (str): For people.
        channel_dim (int): The dimension of channels, as ClusteredLayerCAM takes it.
    """

    name: str
    channel_dim: int


MAP = Kind("map", 1)
CHANNELS_LAST = Kind("map, channels last", -1)
TOKENS = Kind("tokens", -1)


def kind_of(shape: Shape) -> Kind | None:
    """
    The kind of a layer's tensor for a square picture, None if it is nothing to look at.

    Nothing in a tensor says which dimension is that of the channels; but a square
    picture has square maps, and tokens are a square number, apart from a class token.
    """
    if len(shape) == 4:
        height, width = shape[2:]
        if shape[1] == height != width and height > 1:
            return CHANNELS_LAST
        return MAP if height * width > 1 else None
    if len(shape) == 3 and token_grid(shape[1]):
        return TOKENS
    return None


def token_grid(n_tokens: int) -> tuple[int, int] | None:
    """Side of the square that tokens form and the number of tokens before it (0 or 1)."""
    for n_prefix in (0, 1):
        side = math.isqrt(n_tokens - n_prefix)
        if side > 1 and side * side == n_tokens - n_prefix:
            return side, n_prefix
    return None


@dataclass(frozen=True)
class Call:
    """A module's last call: shapes of the floating-point tensors that went in and out."""

    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]


@dataclass(frozen=True)
class Forward:
    """
    One forward pass.

    Attributes:

        calls (dict[torch.nn.Module, Call]): In the order in which the modules finished.
        output (Tensor): The network's output, (1, n_classes).
    """

    calls: dict[nn.Module, Call]
    output: Tensor


def trace(model: Model, inputs: Tensor) -> Forward:
    """
    Runs the network once and notes what shapes each module sees.

    Raises:

        UserError: If the network does not take the inputs or return logits.
    """
    calls: dict[nn.Module, Call] = {}

    def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        # Of a module that is used several times, the last call counts, as in Captum.
        calls.pop(module, None)
        # Keyword arguments count if no positional one is a tensor, as in our own hooks.
        calls[module] = Call(_shapes(args) or _shapes(kwargs), _shapes(output))

    handles = [m.register_forward_hook(hook, with_kwargs=True) for m in model.module.modules()]
    try:
        with (
            explained(f"{model.name} fails on an input of shape {tuple(inputs.shape)}"),
            torch.no_grad(),
        ):
            output = model.module(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != len(inputs):
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UserError(
            f"{model.name} must return the logits of classes, a tensor of shape (N, n_classes); "
            f"it returned {shape}."
        )
    return Forward(calls, output)


def _shapes(tree: Any) -> tuple[Shape, ...]:
    leaves = pytree.tree_leaves(tree)
    return tuple(tuple(x.shape) for x in leaves if isinstance(x, Tensor) and x.is_floating_point())


def find_layer(model: Model, name: str) -> nn.Module:
    """
    Raises:

        UserError: If the model has no such module; the message names close ones.
    """
    modules: dict[str, nn.Module] = dict(model.module.named_modules(remove_duplicate=False))
    modules.pop("", None)
    if name not in modules:
        raise UserError(
            f"{model.name} has no layer {name!r}.{close_matches(name, modules)} "
            f"`captum-clustered layers --model {model.name}` lists the layers."
        )
    return modules[name]


@dataclass(frozen=True)
class LayerRow:
    """
    A layer to choose.

    Attributes:

        name (str): For ``--layer``.
        type_name (str): The module's class.
        shape (tuple[int, ...]): Of the tensor that would be attributed to.
        kind (Kind): How that lies in space.
        at_input (bool): Whether it is the module's input, so needs ``--layer-input``.
        usual (bool): Whether it is the usual choice.
    """

    name: str
    type_name: str
    shape: Shape
    kind: Kind
    at_input: bool
    usual: bool


def list_layers(model: Model, inputs: Tensor, everything: bool = False) -> list[LayerRow]:
    """
    The layers that can be shown as a map, in the order of the model's definition.

    Args:

        model (Model): The network.
        inputs (Tensor): Shape (1, C, H, W) with H = W; numbers do not matter.
        everything (bool, optional): Also modules nested deeper than two levels.
                    Default: False

    Raises:

        UserError: If the network does not run on the inputs.
    """
    forward = trace(model, inputs)
    kinds = {
        module: kind
        for module, call in forward.calls.items()
        if len(call.outputs) == 1 and (kind := kind_of(call.outputs[0]))
    }
    names = {module: name for name, module in model.module.named_modules() if name}
    usual = _usual(forward, kinds, names)
    rows = []
    for module, name in names.items():
        if module not in forward.calls or not (
            everything or _depth(name) <= USUAL_DEPTH or module is usual
        ):
            continue
        call = forward.calls[module]
        type_name = type(module).__name__
        if module in kinds:
            kind = kinds[module]
            rows.append(LayerRow(name, type_name, call.outputs[0], kind, False, module is usual))
        elif _ends_space(module, name, call):
            rows.append(LayerRow(name, type_name, call.inputs[0], MAP, True, False))
    return rows


def _usual(
    forward: Forward, kinds: dict[nn.Module, Kind], names: dict[nn.Module, str]
) -> nn.Module | None:
    """
    The last map before it disappears; in a transformer the tokens before the last
    attention, because behind it only the class token still reaches the output.
    """
    calls = [module for module in forward.calls if module in names]
    candidates = [m for m in calls if m in kinds]
    if candidates and kinds[candidates[-1]] is TOKENS:
        attentions = [i for i, m in enumerate(calls) if "attention" in type(m).__name__.lower()]
        if attentions:
            last = calls[attentions[-1]]
            before = calls[: attentions[-1]]
            inside = set(last.modules())
            candidates = [m for m in before if m in kinds and m not in inside]
        return candidates[-1] if candidates else None
    n_classes = forward.output.shape[1]
    maps = [
        m
        for m in candidates
        if _depth(names[m]) <= USUAL_DEPTH
        and kinds[m] is not TOKENS
        # The maps of a network that ends with a convolution are the classes already.
        and forward.calls[m].outputs[0][kinds[m].channel_dim] != n_classes
        # What changes nothing: VGG's pooling at the usual size, SqueezeNet's dropout.
        and not _is_pooling(m, names[m])
        and not isinstance(m, (nn.Dropout, nn.Identity))
    ]
    return maps[-1] if maps else None


def _ends_space(module: nn.Module, name: str, call: Call) -> bool:
    """Whether the module pools a map into one position."""
    return (
        _is_pooling(module, name)
        and len(call.inputs) == len(call.outputs) == 1
        and kind_of(call.inputs[0]) is MAP
        and math.prod(call.outputs[0][2:]) == 1
    )


def _is_pooling(module: nn.Module, name: str) -> bool:
    is_leaf = next(module.children(), None) is None
    return is_leaf and "pool" in f"{name} {type(module).__name__}".lower()


def _depth(name: str) -> int:
    return name.count(".") + 1
