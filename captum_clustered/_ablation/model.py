"""The model behind a forward function, and forward passes that leave no trace in it."""

from __future__ import annotations

import functools
import itertools
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.modules.module import register_module_forward_pre_hook

from captum_clustered.scores import ScoreWrapper

# What torch itself keeps in a module's __dict__; the rest is the model's own.
_OF_TORCH = frozenset(vars(Module()))


def model_behind(forward_func: Callable[..., Any]) -> Module | None:
    """
    Return the module that a function is, wraps or is a method of, if it can be found.

    The function may do something else with it than call it; :func:`scores.model_of
    <captum_clustered.scores.model_of>` is for modules that are called as they are.
    """
    if isinstance(forward_func, Module):
        return forward_func
    if isinstance(forward_func, ScoreWrapper):
        return model_behind(forward_func.forward_func)
    if isinstance(forward_func, functools.partial):
        return model_behind(forward_func.func)
    owner = getattr(forward_func, "__self__", None)
    return owner if isinstance(owner, Module) else None


def model_or_layer(forward_func: Callable[..., Any], layer: Module) -> Module:
    """Return the model behind a function, or the layer if a function hides the model."""
    model = model_behind(forward_func)
    # Not `model or layer`: some modules refuse to have a truth value.
    return layer if model is None else model


def device_of(module: Module) -> torch.device | None:
    """Return the device of the first parameter or buffer, or None if there is none."""
    tensor = next(itertools.chain(module.parameters(), module.buffers()), None)
    return None if tensor is None else tensor.device


def layer_name(forward_func: Callable[..., Any], layer: Module) -> str:
    """Return the layer's name in the model, if it has one, and its type, for messages."""
    model = model_behind(forward_func)
    if model is not None:
        for name, module in model.named_modules():
            if module is layer and name:
                return f"{name!r} ({type(layer).__name__})"
    return type(layer).__name__


class ModelState:
    """
    Undoes what a forward pass changes, so that passes differ in nothing but the ablation.

    Otherwise Dropout's noise, recurrent states or running statistics would look like
    importance. Tensors that the model stores on its modules under vmap are invalid afterwards;
    they are removed too.

    These are restored, for each module that is called and, if the model is known, for all of
    its modules: attributes and buffers that are rebound, the contents of lists and
    dictionaries in attributes and of the buffers of modules in training mode. The states of
    the random number generators are restored as well.

    Args:

        forward_func (Callable): The model, or any function that calls it.
        layer (Module): The layer that is explained.
        inputs (tuple[Tensor, ...]): The inputs, for the devices that they are on.
    """

    def __init__(
        self, forward_func: Callable[..., Any], layer: Module, inputs: tuple[Tensor, ...]
    ) -> None:
        self._is_known = model_behind(forward_func) is not None
        self._known = list(model_or_layer(forward_func, layer).modules())
        # Not parameters(), which takes a millisecond for a model of two hundred modules.
        parameters = (p for module in self._known for p in module._parameters.values())
        self._devices = {
            tensor.device.index
            for tensor in (*parameters, *inputs)
            if tensor is not None and tensor.device.type == "cuda"
        }
        self._active: set[str] = set()

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restore everything after one forward pass."""
        owner = threading.get_ident()
        snapshots: dict[int, _Snapshot] = {}

        def remember(module: Module, _: Any = None) -> None:
            # The hook is global; other threads' models are not to be touched.
            if threading.get_ident() == owner and id(module) not in snapshots:
                snapshots[id(module)] = _Snapshot(module)

        for module in self._known:
            if _may_change(module):
                remember(module)
        with ExitStack() as stack:
            stack.callback(self._restore, snapshots)
            if not self._is_known:
                # The model is hidden by a function; its modules are found when they are called.
                stack.callback(register_module_forward_pre_hook(remember).remove)
            stack.enter_context(torch.random.fork_rng(devices=sorted(self._devices)))
            yield

    def _restore(self, snapshots: dict[int, _Snapshot]) -> None:
        for snapshot in snapshots.values():
            snapshot.restore()
            if snapshot.depends_on_mode:
                self._active.add(type(snapshot.module).__name__)

    def warn_if_training(self, stacklevel: int) -> None:
        """
        Warn if a module that was called is in training mode, and this makes a difference.

        As everywhere in Captum, the mode is the user's choice; it is not switched here.
        """
        if self._active:
            warnings.warn(
                f"The model is in training mode ({', '.join(sorted(self._active))}): scores depend "
                "on the rest of the batch or on chance, and so do attributions. Call model.eval() "
                "first.",
                stacklevel=stacklevel + 1,
            )


def _may_change(module: Module) -> bool:
    """Return whether a module has anything to restore. Most have not."""
    return module.training or bool(module._buffers) or not _is_left_alone(module)


def _is_left_alone(module: Module) -> bool:
    # Torch's own modules store no results in attributes. What they do store there (for
    # distributed training, for lazy parameters) must not be undone.
    return type(module).__module__.startswith("torch.") or isinstance(module, LazyModuleMixin)


class _Snapshot:
    """What a forward pass may change in one module."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.depends_on_mode = module.training and isinstance(module, (_BatchNorm, _DropoutNd))
        self._attributes = None if _is_left_alone(module) else _own(module)
        containers = (self._attributes or {}).values()
        self._contents = [(c, c.copy()) for c in containers if type(c) in (list, dict)]
        self._buffers = dict(module._buffers)
        self._values = [
            (buffer, buffer.clone())
            for buffer in self._buffers.values()
            if module.training and buffer is not None
        ]

    def restore(self) -> None:
        """Put everything back."""
        if self._attributes is not None:
            for name in _own(self.module).keys() - self._attributes.keys():
                del self.module.__dict__[name]
            self.module.__dict__.update(self._attributes)
        for container, content in self._contents:
            container.clear()
            if isinstance(container, list):
                container.extend(content)
            else:
                container.update(content)
        # The buffers of a TorchScript module are no dictionary and cannot be rebound.
        if isinstance(self.module._buffers, dict):
            for name in self.module._buffers.keys() - self._buffers.keys():
                del self.module._buffers[name]
            self.module._buffers.update(self._buffers)
        with torch.no_grad():
            for buffer, value in self._values:
                buffer.copy_(value)


def _own(module: Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _OF_TORCH}
