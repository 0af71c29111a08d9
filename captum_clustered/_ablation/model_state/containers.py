"""Containers and plain objects that a model keeps, restored after a forward pass."""

from __future__ import annotations

import functools
import operator
import random
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, Parameter

from captum_clustered._ablation.model_state.tensor_values import TensorValues, has_values

# They contain nothing that a pass could change.
_LEAVES = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, type, range, slice),
        *(types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType),
        *(torch.dtype, torch.device, torch.Size),
    }
)
# Objects of other standard modules (loggers, threads, files) are shared by the whole process.
_FOREIGN = (sys.stdlib_module_names | {"torch", "numpy"}) - {
    *("argparse", "collections", "queue", "types", "weakref"),
}
# A data set that a model keeps must not be copied in each pass.
MAX_COPIED_ELEMENTS = 2**24
# Random number generators: how to read and to set their state.
_GENERATORS: tuple[tuple[type, Callable[[Any], Any], Callable[[Any, Any], Any]], ...] = (
    (torch.Generator, torch.Generator.get_state, torch.Generator.set_state),
    (random.Random, random.Random.getstate, random.Random.setstate),
    (np.random.RandomState, np.random.RandomState.get_state, np.random.RandomState.set_state),
    (
        np.random.Generator,
        lambda generator: generator.bit_generator.state,
        lambda generator, state: setattr(generator.bit_generator, "state", state),
    ),
)
# What a container has that is not made of Python's own.
_MUTATORS = ("__next__", "append", "add", "put", "push")


class CannotRestoreError(RuntimeError):
    """The model keeps state that cannot be restored, so that vmap would leave traces."""


class Containers:
    """
    The contents of all containers and plain objects that can be reached from some values.

    Lists, dictionaries, sets, deques, their subclasses, and the attributes of objects are
    restored, in any nesting, and so are the values of tensors and the states of random number
    generators in them. Parameters are not copied. Modules are left to
    :class:`ModelState <captum_clustered._ablation.model_state.model.ModelState>`.

    Attributes:

        unknown (type or None): A type of containers that cannot be restored, if one was found.
    """

    def __init__(self) -> None:
        self.unknown: type | None = None
        # Objects are kept alive here, so that no other object gets their id.
        self._seen: dict[int, Any] = {}
        self._restorers: list[Callable[[], None]] = []
        self._remaining_elements = MAX_COPIED_ELEMENTS

    def add(self, values: Iterable[Any]) -> None:
        """Add the contents of all that can be reached from some values."""
        pending = [value for value in values if type(value) not in _LEAVES]
        tensors = []
        while pending:
            value = pending.pop()
            kind = type(value)
            if id(value) in self._seen or isinstance(value, Module):
                continue
            self._seen[id(value)] = value
            if isinstance(value, Tensor):
                # Asking a tensor whether it is a parameter takes long.
                if kind is not Tensor and isinstance(value, Parameter):
                    continue
                if has_values(value) and value.numel() <= self._remaining_elements:
                    self._remaining_elements -= value.numel()
                    tensors.append(value)
                continue
            if kind is np.ndarray:
                self._array(value)
            pending += (item for item in self._added(value) if type(item) not in _LEAVES)
        self._restorers.append(TensorValues(tensors).restore)

    def restore(self) -> None:
        """Put back all contents that have changed."""
        for restore in self._restorers:
            restore()

    def _array(self, array: np.ndarray[Any, Any]) -> None:
        if array.flags.writeable and array.size <= self._remaining_elements:
            self._remaining_elements -= array.size
            self._restorers.append(functools.partial(np.copyto, array, array.copy()))

    def _added(self, value: Any) -> list[Any]:
        """Remember the contents of one object; return them."""
        # The most frequent attributes of modules: kernel sizes, strides.
        if type(value) in (tuple, frozenset):
            return [*value]
        for generator, read, write in _GENERATORS:
            if isinstance(value, generator) and not _is_global(value):
                self._restorers.append(functools.partial(write, value, read(value)))
                return []
        contents: list[Any] = []
        is_builtin = True
        if isinstance(value, dict):
            contents += self._dictionary(value)
        elif isinstance(value, (list, set, deque)):
            contents += self._collection(value)
        elif isinstance(value, (tuple, frozenset)):
            contents += value
        else:
            is_builtin = False
        kind: Any = type(value)
        if not is_foreign(kind):
            if hasattr(value, "__dict__") and isinstance(vars(value), dict):
                contents += self._dictionary(vars(value))
            contents += self._slots(value)
        if not is_builtin and not hasattr(value, "__dict__") and _is_unknown_container(kind):
            self.unknown = kind
        return contents

    def _dictionary(self, value: dict[Any, Any]) -> list[Any]:
        # An ordered dictionary has a list of its keys beside the dictionary.
        kind = OrderedDict if isinstance(value, OrderedDict) else dict
        keys, values = list(kind.keys(value)), list(kind.values(value))

        def restore() -> None:
            if not (_are_same(kind.keys(value), keys) and _are_same(kind.values(value), values)):
                kind.clear(value)
                for key, item in zip(keys, values, strict=True):
                    kind.__setitem__(value, key, item)

        self._restorers.append(restore)
        return [*keys, *values]

    def _collection(self, value: Any) -> list[Any]:
        # The methods of the built-in class: those of a subclass may do more.
        kind: Any = next(kind for kind in (list, set, deque) if isinstance(value, kind))
        items = list(kind.__iter__(value))

        def restore() -> None:
            if not _are_same(kind.__iter__(value), items):
                kind.clear(value)
                (kind.update if kind is set else kind.extend)(value, items)

        self._restorers.append(restore)
        return items

    def _slots(self, value: Any) -> list[Any]:
        kind: Any = type(value)
        names = _slots_of(kind)
        found = {name: getattr(value, name) for name in names if hasattr(value, name)}

        def restore() -> None:
            for name in names:
                if name in found:
                    object.__setattr__(value, name, found[name])
                elif hasattr(value, name):
                    object.__delattr__(value, name)

        if names:
            self._restorers.append(restore)
        return list(found.values())


def _is_global(generator: Any) -> bool:
    """Return whether other threads may use a generator, too."""
    shared = (torch.default_generator, random._inst, np.random.mtrand._rand)
    return any(generator is one for one in (*shared, *torch.cuda.default_generators))


def _are_same(now: Iterable[Any], before: list[Any]) -> bool:
    now = list(now)
    return len(now) == len(before) and all(map(operator.is_, now, before))


def is_foreign(kind: type) -> bool:
    """Return whether objects of a class belong to a library and not to a model."""
    return kind.__module__.partition(".")[0] in _FOREIGN


@functools.cache
def _slots_of(kind: type) -> tuple[str, ...]:
    """Return the attributes of a class's objects that are not in a dictionary."""
    return tuple(
        name
        for base in kind.__mro__
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType)
        and not is_foreign(base)
        and name not in ("__dict__", "__weakref__")
    )


@functools.cache
def _is_unknown_container(kind: type) -> bool:
    is_known = _slots_of(kind) or kind.__module__.partition(".")[0] in ("_io", "numpy", "torch")
    return not is_known and any(hasattr(kind, name) for name in _MUTATORS)
