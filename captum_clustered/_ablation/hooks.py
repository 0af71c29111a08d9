"""A hook on one layer that touches nothing but the forward pass it is meant for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.utils import _pytree as pytree

from captum_clustered.scores import model_of

Tensors = tuple[Tensor, ...]
Edit = Callable[[Tensors], "Tensors | None"]


@contextmanager
def tap(layer: Module, at_input: bool, edit: Edit) -> Iterator[None]:
    """
    Hands the layer's tensors to ``edit`` at each of the layer's calls.

    The layer's output (or input) may be a tensor or any nesting of tuples, lists, named
    tuples and dictionaries; an input may be positional or, if no positional argument
    holds a tensor, keyword-only. ``edit`` sees the floating-point tensors alone, in
    order; everything else passes through.

    Only the thread that opened the tap is served, and the replicas that DataParallel
    makes of the layer: another thread's forward pass of the same model is left alone.

    Args:

        layer (Module): The layer to tap.
        at_input (bool): Whether to tap the layer's input instead of its output.
        edit (Callable): Takes the tuple of tensors; returns the tuple that replaces
                    them, or None to leave them as they are.
    """
    owner = threading.get_ident()

    def is_foreign(module: Module) -> bool:
        # A DataParallel replica is another module object, run in another thread.
        return module is layer and threading.get_ident() != owner

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
        if at_input
        else layer.register_forward_hook(post_hook)
    )
    try:
        yield
    finally:
        handle.remove()


def layer_name(forward_func: Callable[..., Any], layer: Module) -> str:
    """The layer as error messages call it: its name in the model, if it has one."""
    model = model_of(forward_func)
    if model is not None:
        for name, module in model.named_modules():
            if module is layer and name:
                return f"{name!r} ({type(layer).__name__})"
    return type(layer).__name__


def _is_float_tensor(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and torch.is_floating_point(leaf)


def _has_tensors(tree: Any) -> bool:
    return any(map(_is_float_tensor, pytree.tree_leaves(tree)))


def _edited(tree: Any, edit: Edit) -> Any:
    leaves, spec = pytree.tree_flatten(tree)
    places = [i for i, leaf in enumerate(leaves) if _is_float_tensor(leaf)]
    new = edit(tuple(leaves[i] for i in places))
    if new is None:
        return None
    for place, tensor in zip(places, new, strict=True):
        leaves[place] = tensor
    return pytree.tree_unflatten(leaves, spec)
