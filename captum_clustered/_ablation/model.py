"""Forward passes that leave no trace in the model and in the random number generators."""

from __future__ import annotations

import functools
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

from captum_clustered.scores import model_of

# What torch itself keeps in a module; the rest of its __dict__ is the model's own.
_OF_TORCH = frozenset(vars(Module()))


class ModelState:
    """
    Undoes what forward passes change, so that they differ in what is ablated and in
    nothing else: Dropout's noise, recurrent states or running statistics must not pass
    for importance. And whatever the single pass leaves in a module's attributes is of no
    use outside of it.

    Restored are, for each module that is called and for the whole model where it is
    known: attributes and buffers that are rebound, lists and dictionaries in attributes,
    the contents of buffers of modules in training mode, and the generators' states.

    Args:

        forward_func (Callable): The model, or any function that calls it.
        layer (Module): The layer that is explained.
        inputs (tuple[Tensor, ...]): The inputs, for the devices that they are on.
    """

    def __init__(
        self, forward_func: Callable[..., Any], layer: Module, inputs: tuple[Tensor, ...]
    ) -> None:
        model = model_behind(forward_func)
        self._is_known = model is not None
        # Not `model or layer`: some modules refuse to have a truth value.
        self._known = list((layer if model is None else model).modules())
        # Not by parameters(), which takes a millisecond for a model of two hundred modules.
        parameters = (p for module in self._known for p in module._parameters.values())
        self._devices = {
            tensor.device.index
            for tensor in (*parameters, *inputs)
            if tensor is not None and tensor.device.type == "cuda"
        }
        self._active: set[str] = set()

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Around one forward pass."""
        owner = threading.get_ident()
        snapshots: dict[int, _Snapshot] = {}

        def remember(module: Module, _: Any = None) -> None:
            # The hook is global: other threads' models are none of our business.
            if threading.get_ident() == owner and id(module) not in snapshots:
                snapshots[id(module)] = _Snapshot(module)

        for module in self._known:
            if _may_change(module):
                remember(module)
        with ExitStack() as stack:
            stack.callback(self._restore, snapshots)
            if not self._is_known:
                # A function around the model hides it; the modules that it calls show up.
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
        Warns if a module that was called behaves otherwise in training mode, and is in it.

        As everywhere in Captum, the mode is the user's choice, and we do not switch it.
        """
        if self._active:
            warnings.warn(
                f"The model is in training mode ({', '.join(sorted(self._active))}): scores depend "
                "on the rest of the batch or on chance, and so do attributions. Call model.eval() "
                "first.",
                stacklevel=stacklevel + 1,
            )


def _may_change(module: Module) -> bool:
    """Whether there is anything to remember of a module, as there is not of most layers."""
    return module.training or bool(module._buffers) or not _is_left_alone(module)


def _is_left_alone(module: Module) -> bool:
    # Torch's own modules keep no results in attributes, and what they do keep there
    # (of distributed training, of parameters yet to be made) must not be undone.
    return type(module).__module__.startswith("torch.") or isinstance(module, LazyModuleMixin)


class _Snapshot:
    """What a module's forward pass may change in it."""

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
        """Puts everything back."""
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
        # Those of TorchScript's modules are no dictionary and cannot be rebound.
        if isinstance(self.module._buffers, dict):
            for name in self.module._buffers.keys() - self._buffers.keys():
                del self.module._buffers[name]
            self.module._buffers.update(self._buffers)
        with torch.no_grad():
            for buffer, value in self._values:
                buffer.copy_(value)


def _own(module: Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _OF_TORCH}


def model_behind(forward_func: Callable[..., Any]) -> Module | None:
    """The module that a function is, wraps or is a method of, as far as that can be told."""
    model = model_of(forward_func)
    if model is not None:
        return model
    if isinstance(forward_func, functools.partial):
        return model_behind(forward_func.func)
    owner = getattr(forward_func, "__self__", None)
    return owner if isinstance(owner, Module) else None
