"""Hooks that read or replace a layer's tensors, in the forward passes of one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from captum._utils.common import _reduce_list, _sort_key_list
from torch import Tensor
from torch.nn import Module
from torch.utils import _pytree as pytree

Tensors = tuple[Tensor, ...]


class LayerTensors(Tensors):
    """
    The different floating-point tensors of a layer.

    Attributes:

        places (tuple[int, ...]): For each attribution that is returned, the index of its
                    tensor. As in Captum, a layer that returns the tuple (y, y) has two.
    """

    places: tuple[int, ...]

    @classmethod
    def of(cls, tree: Any, leaves: Tensors) -> LayerTensors:
        """Make it of an input or output, whose floating-point tensors are given one by one."""
        distinct = {id(leaf): leaf for leaf in leaves}
        made = cls(distinct.values())
        is_flat = isinstance(tree, tuple) and len(tree) == len(leaves)
        numbers = {key: number for number, key in enumerate(distinct)}
        made.places = tuple(numbers[id(leaf)] for leaf in (leaves if is_flat else made))
        return made

    @property
    def device(self) -> torch.device:
        """The device of the first one; the CPU if there are none."""
        return self[0].device if self else torch.device("cpu")


Edit = Callable[[LayerTensors], "Tensors | None"]


@contextmanager
def edit_layer(layer: Module, attribute_to_layer_input: bool, edit: Edit) -> Iterator[None]:
    """
    Pass the layer's tensors to ``edit`` at each call of the layer.

    ``edit`` takes the floating-point tensors of the layer's output (or input) and returns the
    tensors that replace them, or None to keep them. The output may be a tensor or any nesting
    of tuples, lists, named tuples and dictionaries. A tensor that occurs several times is given
    once. The keyword arguments count as the input only if no positional argument holds such a
    tensor.

    Only calls in the current thread and those of DataParallel replicas are edited, because
    another thread may run the same model at the same time.
    """
    owner = threading.get_ident()

    def is_foreign(module: Module) -> bool:
        # Another thread may have copied the model with this hook.
        return threading.get_ident() != owner and not getattr(module, "_is_replica", False)

    def pre_hook(
        module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if is_foreign(module):
            return None
        if _has_tensors(args):
            edited = _edited(args, edit)
            return None if edited is None else (edited, kwargs)
        edited = _edited(kwargs, edit)
        return None if edited is None else (args, edited)

    def post_hook(module: Module, args: tuple[Any, ...], output: Any) -> Any:
        return None if is_foreign(module) else _edited(output, edit)

    handle = (
        layer.register_forward_pre_hook(pre_hook, with_kwargs=True)
        if attribute_to_layer_input
        else layer.register_forward_hook(post_hook)
    )
    try:
        yield
    finally:
        handle.remove()


class LayerActivations:
    """
    The tensors of the layer's last call, on each device that runs it.

    Attributes:

        tensors (dict): The layer's tensors by device; empty if the layer was not called.
        calls (dict): The number of the layer's calls by device.
        places (tuple[int, ...]): As in :class:`LayerTensors`.
    """

    def __init__(self) -> None:
        self.tensors: dict[torch.device, Tensors] = {}
        self.calls: dict[torch.device, int] = {}
        self.places: tuple[int, ...] = ()

    def record(self, tensors: LayerTensors) -> None:
        """Store copies of the tensors, because the rest of the model may write into them."""
        # A layer without tensors is recorded too, so that the planner can report it.
        self.tensors[tensors.device] = tuple(tensor.detach().clone() for tensor in tensors)
        self.calls[tensors.device] = self.calls.get(tensors.device, 0) + 1
        self.places = tensors.places

    def devices(self, device_ids: list[int] | None) -> list[torch.device]:
        """Return the devices in the order in which they share the batch."""
        return _sort_key_list(list(self.tensors), device_ids)

    def gathered(self, device_ids: list[int] | None = None) -> Tensors:
        """Return the tensors of the whole batch, on the first device."""
        parts: Any = [self.tensors[device] for device in self.devices(device_ids)]
        return tuple(_reduce_list(parts))


@contextmanager
def record_layer(layer: Module, attribute_to_layer_input: bool) -> Iterator[LayerActivations]:
    """Record the layer's tensors in the forward passes inside this context."""
    seen = LayerActivations()
    with edit_layer(layer, attribute_to_layer_input, seen.record):
        yield seen


def _is_float_tensor(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and torch.is_floating_point(leaf)


def _has_tensors(tree: Any) -> bool:
    return any(map(_is_float_tensor, pytree.tree_leaves(tree)))


def _edited(tree: Any, edit: Edit) -> Any:
    leaves, spec = pytree.tree_flatten(tree)
    places = [i for i, leaf in enumerate(leaves) if _is_float_tensor(leaf)]
    # A tensor in several places stays one, since the model may write into it at one of them.
    distinct = LayerTensors.of(tree, tuple(leaves[i] for i in places))
    new = edit(distinct)
    if new is None:
        return None
    edited = dict(zip(map(id, distinct), new, strict=True))
    for place in places:
        leaves[place] = edited[id(leaves[place])]
    return pytree.tree_unflatten(leaves, spec)


def not_reached(layer_name: str) -> ValueError:
    """Return the error for a layer that the forward pass does not call."""
    return ValueError(
        f"layer {layer_name} was not reached: forward_func did not call it on these inputs, or "
        "not in this thread."
    )
