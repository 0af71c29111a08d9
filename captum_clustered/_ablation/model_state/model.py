"""The model behind a forward function, and forward passes that leave no trace in it."""

from __future__ import annotations

import functools
import itertools
import operator
import random
import threading
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.modules.module import register_module_forward_pre_hook

from captum_clustered._ablation.model_state.containers import (
    CannotRestoreError,
    Containers,
    is_foreign,
)
from captum_clustered.scores import ScoreWrapper

# How many objects are looked at to find the model behind a function.
MAX_SEARCHED = 1_000
# Names in the __dict__ of every module; other names are the model's own attributes.
_OF_TORCH = frozenset(vars(Module()))


def model_behind(forward_func: Callable[..., Any]) -> Module | None:
    """
    Return the module that a function is, wraps or is a method of, if it can be found.

    The function may not call the module itself, as a method does. Where this matters, use
    :func:`scores.model_of <captum_clustered.scores.model_of>`.
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


def modules_behind(forward_func: Callable[..., Any], layer: Module) -> list[Module]:
    """
    Return the modules of the model behind a function.

    If it is hidden, these are the modules of all models that have the layer and that the
    function refers to.
    Functions are searched for what they can use: the defaults of their arguments, the variables
    around them, and the attributes of objects.
    """
    found = _modules_of(layer, model_or_layer(forward_func, layer))
    pending: deque[Any] = deque([forward_func])
    seen: dict[int, Any] = {}
    while pending and len(seen) < MAX_SEARCHED:
        value = pending.popleft()
        if id(value) in seen or isinstance(value, (Tensor, types.ModuleType)):
            continue
        seen[id(value)] = value
        if isinstance(value, Module):
            if id(value) not in found:
                modules = _modules_of(value)
                found |= modules if id(layer) in modules else {}
            # A module that wraps a function, or keeps another module out of its children.
            pending += _own_attributes(value).values()
        else:
            pending += _used_by(value)
    return list(found.values())


def _modules_of(*models: Module) -> dict[int, Module]:
    """Return the modules of some models. ``Module.modules`` takes several times as long."""
    found: dict[int, Module] = {}
    pending: list[Module | None] = [*models]
    while pending:
        module = pending.pop()
        if module is not None and id(module) not in found:
            found[id(module)] = module
            pending += module._modules.values()
    return found


def _used_by(value: Any) -> list[Any]:
    """Return what a function, a method, a container or a plain object refers to."""
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell != types.CellType()]
        names = _names(value.__code__)
        return [
            *cells,
            *(value.__defaults__ or ()),
            *(value.__kwdefaults__ or {}).values(),
            *(value.__globals__[name] for name in names if name in value.__globals__),
        ]
    if isinstance(value, types.MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, dict):
        return list(itertools.islice(value.values(), MAX_SEARCHED))
    if isinstance(value, (list, tuple)):
        return list(value[:MAX_SEARCHED])
    if is_foreign(type(value)) or isinstance(value, type):
        return []
    call = [type(value).__call__] if callable(value) else []
    return [*getattr(value, "__dict__", {}).values(), *call]


def _names(code: types.CodeType) -> set[str]:
    """Return the names that a function and the functions inside it may look up globally."""
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def device_of(module: Module) -> torch.device | None:
    """Return the device of the first parameter or buffer, or None if there is none."""
    tensor = next(itertools.chain(module.parameters(), module.buffers()), None)
    return None if tensor is None else tensor.device


def layer_name(forward_func: Callable[..., Any], layer: Module) -> str:
    """Return the layer's name in the model, if it is found, and its type, for messages."""
    model = model_behind(forward_func)
    if model is not None:
        for name, module in model.named_modules():
            if module is layer and name:
                return f"{name!r} ({type(layer).__name__})"
    return type(layer).__name__


class ModelState:
    """
    Undoes what a forward pass changes, so that passes differ only in the ablation.

    Otherwise the effects of dropout, recurrent states or running statistics would look like
    importance. Tensors that the model stores on its modules under vmap would be invalid later.

    These are restored in all modules of the model or, if the model is not found, in all modules
    that are called: attributes and buffers, and their values; the contents of containers and
    plain objects in attributes.

    Attributes:

        devices (set[torch.device]): The GPUs of the model and its inputs.

    Args:

        forward_func (Callable): The model, or any function that calls it.
        layer (Module): The layer that is explained.
        inputs (tuple[Tensor, ...]): The inputs, for the devices that they are on.
    """

    def __init__(
        self, forward_func: Callable[..., Any], layer: Module, inputs: tuple[Tensor, ...]
    ) -> None:
        self._is_known = model_behind(forward_func) is not None
        self._known = modules_behind(forward_func, layer)
        # Not parameters(), which takes a millisecond for a model of two hundred modules.
        parameters = (p for module in self._known for p in module._parameters.values())
        self.devices = {
            tensor.device
            for tensor in (*parameters, *inputs)
            if tensor is not None and tensor.device.type == "cuda"
        }
        self._depends_on_mode: set[str] = set()
        self._n_passes = 0
        self._shared_before = self._shared()

    @property
    def is_training(self) -> bool:
        """Whether a module that is known before the first pass is in training mode."""
        return any(module.training for module in self._known)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restore everything on leaving the context, which is one forward pass."""
        self._n_passes += 1
        owner, called = threading.get_ident(), set[int]()
        snapshots: dict[int, _Snapshot] = {}
        containers = Containers()

        def note_call(module: Module, _: Any) -> None:
            # The hook is global, but models of other threads must not be touched.
            if threading.get_ident() == owner:
                remember(module)
                called.add(id(module))

        def remember(*modules: Module) -> None:
            new = {id(m): _Snapshot(m) for m in modules if id(m) not in snapshots}
            snapshots.update(new)
            kept = (part for one in new.values() for part in (one.buffers, one.attributes))
            containers.add(value for part in kept for value in part.values())
            _check_known(containers)

        remember(*filter(_may_change, self._known))
        with ExitStack() as stack:
            stack.callback(containers.restore)
            stack.callback(self._restore, snapshots, called)
            if not self._is_known:
                # The model is hidden by a function; more modules are found when they are called.
                stack.callback(register_module_forward_pre_hook(note_call).remove)
            yield

    def _restore(self, snapshots: dict[int, _Snapshot], called: set[int]) -> None:
        for key, snapshot in snapshots.items():
            snapshot.restore()
            if snapshot.depends_on_mode and (self._is_known or key in called):
                self._depends_on_mode.add(type(snapshot.module).__name__)

    def _shared(self) -> dict[str, Any]:
        """Return what shows whether something has changed that is not restored."""
        parameters = (p for module in self._known for p in module._parameters.values())
        state: Any = np.random.get_state()
        return {
            "draws from Python's module random": random.getstate(),
            "draws from NumPy's global generator": (bytes(state[1]), state[2]),
            "writes into its parameters": [
                p._version for p in parameters if p is not None and not p.is_inference()
            ],
        }

    def warn_if_unsteady(self, stacklevel: int) -> None:
        """Warn if several passes may have differed in more than the ablation."""
        if self._n_passes < 2:
            return
        now = self._shared()
        changes = [
            change for change, before in self._shared_before.items() if now[change] != before
        ]
        if changes:
            warnings.warn(
                f"The model, or another thread, {' and '.join(changes)}, and {self._n_passes} "
                "forward passes were needed. If it is the model, they differ in more than the "
                "ablation, and importances contain the difference.",
                stacklevel=stacklevel + 1,
            )

    def warn_if_training(self, stacklevel: int, draws: bool = False) -> None:
        """
        Warn if a module in training mode makes the score depend on the batch or on chance.

        As everywhere in Captum, the user chooses the mode; it is not changed here.

        Args:

            stacklevel (int): As in :func:`warnings.warn`.
            draws (bool): Whether the model has drawn random numbers.
        """
        if draws and self.is_training and not self._depends_on_mode:
            self._depends_on_mode.add("it draws random numbers")
        if self._depends_on_mode:
            warnings.warn(
                f"The model is in training mode ({', '.join(sorted(self._depends_on_mode))}): "
                "scores and attributions depend on the rest of the batch or on chance. Call "
                "model.eval() first.",
                stacklevel=stacklevel + 1,
            )


def _may_change(module: Module) -> bool:
    """Return whether a module has anything to restore. Most modules do not."""
    return module.training or bool(module._buffers) or not _keeps_attributes(module)


def _keeps_attributes(module: Module) -> bool:
    kind: Any = type(module)
    return _is_torchs(kind)


@functools.cache
def _is_torchs(kind: type[Module]) -> bool:
    # Torch's own modules store no results in attributes. What they do store there (for
    # distributed training, for lazy parameters) must not be undone.
    return kind.__module__.startswith("torch.") or issubclass(kind, LazyModuleMixin)


def _check_known(containers: Containers) -> None:
    """Raise CannotRestoreError under vmap, whose tensors must not stay behind."""
    interpreter = torch._C._functorch.peek_interpreter_stack()
    if containers.unknown is not None and interpreter is not None:
        raise CannotRestoreError(
            f"the model keeps an object of type {containers.unknown.__name__}, whose contents "
            "cannot be restored after a pass"
        )


class _Snapshot:
    """The state of one module that a forward pass may change."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.depends_on_mode = module.training and isinstance(module, (_BatchNorm, _DropoutNd))
        self.attributes = {} if _keeps_attributes(module) else _own_attributes(module)
        self._n_names = len(vars(module))
        self.buffers = dict(module._buffers)

    def _has_other_attributes(self) -> bool:
        now = vars(self.module)
        return len(now) != self._n_names or any(
            now.get(name, self) is not value for name, value in self.attributes.items()
        )

    def restore(self) -> None:
        """Put everything back."""
        if not _keeps_attributes(self.module) and self._has_other_attributes():
            for name in _own_attributes(self.module).keys() - self.attributes.keys():
                del self.module.__dict__[name]
            self.module.__dict__.update(self.attributes)
        now = self.module._buffers
        # The buffers of a TorchScript module are not a dictionary and cannot be rebound.
        if isinstance(now, dict) and not _are_same(now, self.buffers):
            now.clear()
            now.update(self.buffers)


def _are_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return [*one] == [*other] and all(map(operator.is_, one.values(), other.values()))


def _own_attributes(module: Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _OF_TORCH}
