"""
Random numbers for the forward passes of a model that draws some, as dropout does.

All passes must meet the same noise, or it would look like importance. Torch's global generators
belong to all threads of the process. Setting one back would repeat the numbers that another
thread has drawn meanwhile, so a pass that draws gets generators of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from captum_clustered._ablation.memory_cap import PassEnds

aten = torch.ops.aten
T = TypeVar("T")
States = dict[torch.device, Tensor]


class _Active(threading.local):
    """The private numbers that this thread uses, the innermost last."""

    def __init__(self) -> None:
        self.stack: list[PrivateNumbers] = []


_active = _Active()
_swap_lock = threading.Lock()
# What operations do that take a generator only in newer versions of torch.
_LIKE = {aten.rand_like.default: Tensor.uniform_, aten.randn_like.default: Tensor.normal_}
# Operations with these arguments draw nothing if they are 0.
_PROBABILITIES = ("dropout_p", "dropout")


class PrivateNumbers(TorchDispatchMode):
    """
    Random numbers that this thread draws inside the context come from private generators.

    Attributes:

        generators (dict): The private generator of each device on which numbers were drawn.

    Args:

        seed (int, optional): Seed of the private generators. By default they begin where the
                    generators begin that would be used without the context.
        states (dict, optional): The states with which they begin, by device.
    """

    # Without this, torch refuses operations that take functions, such as flex_attention.
    supports_higher_order_operators = True

    def __init__(self, seed: int | None = None, states: States | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generators: dict[torch.device, torch.Generator] = {}
        self._seed, self._starts = seed, dict(states or {})
        self._outer = _innermost()

    @classmethod
    def is_infra_mode(cls) -> bool:
        """Tell torch.compile that it need not refuse to run in this context."""
        return True

    def __enter__(self) -> PrivateNumbers:
        super().__enter__()  # type: ignore[no-untyped-call]
        _active.stack.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        _active.stack.pop()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def restart(self) -> None:
        """Begin again, with the same numbers."""
        for device, generator in self.generators.items():
            generator.set_state(self._starts[device])

    def state(self, device: torch.device) -> Tensor:
        """Return the state of the generator that a device uses inside the context."""
        generator = self.generators.get(device)
        return self._start(device) if generator is None else generator.get_state()

    def _start(self, device: torch.device) -> Tensor:
        if device not in self._starts:
            if self._seed is not None:
                start = torch.Generator(device).manual_seed(self._seed).get_state()
            else:
                start = _state(device, self._outer)
            self._starts[device] = start
        return self._starts[device]

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self.generators:
            self.generators[device] = torch.Generator(device)
            self.generators[device].set_state(self._start(device))
        return self.generators[device]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation; give it a private generator if it draws numbers."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in getattr(func, "tags", ()):
            return func(*args, **kwargs)
        given = _named(func, args, kwargs)
        device = _device(given)
        draws_nothing = given.get("train") is False or any(
            given.get(name) == 0 for name in _PROBABILITIES
        )
        if device is None or draws_nothing or given.get("generator") is not None:
            return func(*args, **kwargs)
        generator = self._generator(device)
        if func in _LIKE:
            return _LIKE[func](aten.empty_like.default(*args, **kwargs), generator=generator)
        if func is aten.native_dropout.default:
            return _dropout(given["input"], given["p"], generator)
        with_generator = _with_generator(func)
        if with_generator is not None:
            return with_generator(*args, **kwargs | {"generator": generator})
        # In inference mode, composite operations arrive here in one piece.
        with self:
            found = func.decompose(*args, **kwargs)
        if found is not NotImplemented:
            return found
        # Attention and recurrent networks on a GPU take the global generator alone. It has the
        # private state only while the operation is queued: microseconds, in which what another
        # thread draws might be repeated.
        with _swap_lock:
            before = _state(device, None)
            try:
                _set_state(device, generator.get_state(), None)
                found = func(*args, **kwargs)
                generator.set_state(_state(device, None))
            finally:
                _set_state(device, before, None)
        return found


class PassNumbers:
    """
    The same random numbers for all passes of an evaluation.

    Watching for operations that draw costs microseconds for each operation, and most models
    draw nothing. So passes are watched if the model is in training mode, and otherwise only
    after a generator was found to have changed: by the model, or by another thread.

    Args:

        devices (set[torch.device]): The GPUs of the model.
        can_draw (bool or None): Whether the model draws numbers; None if this is not known.
        is_parallel (bool): Whether the model draws in threads of its own, as DataParallel does.
                    These are not watched; the generators of GPUs are set back after each pass.
    """

    def __init__(
        self, devices: set[torch.device], can_draw: bool | None, is_parallel: bool = False
    ) -> None:
        self._rewound = devices if is_parallel else set()
        self._devices = {torch.device("cpu"), *devices} - self._rewound
        self._can_draw = can_draw
        self._before: States = {}
        self._after_first: States | None = None
        self._private: PrivateNumbers | None = None

    @property
    def were_drawn(self) -> bool:
        """Whether a watched pass has drawn numbers."""
        return self._private is not None and bool(self._private.generators)

    @property
    def can_draw(self) -> bool | None:
        """Whether the model draws numbers, as far as is known now."""
        return self._can_draw if self._private is None else self.were_drawn

    def evaluate(self, passes: Callable[[], T]) -> T:
        """Return the result of a function that runs passes; it may be called twice."""
        if self._can_draw is False:
            return passes()
        outer = _innermost()
        self._before = {device: _state(device, outer) for device in self._devices}
        if not self._can_draw:
            try:
                return passes()
            except _NumbersWereDrawn:
                pass
        self._private = PrivateNumbers(states=self._before)
        try:
            with self._private:
                return passes()
        finally:
            for device, after in (self._after_first or {}).items():
                # Where nobody else has drawn, the pass that was not watched is undone.
                if not self._can_draw and torch.equal(_state(device, outer), after):
                    _set_state(device, self._before[device], outer)

    @contextmanager
    def one_pass(self) -> Iterator[None]:
        """Give the pass inside this context the same numbers as all others."""
        rewound = {device: _state(device, None) for device in self._rewound}
        try:
            with self._watched():
                yield
        finally:
            for device, state in rewound.items():
                _set_state(device, state, None)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if self._private is None:
            try:
                yield
            except (PassEnds, Exception):
                self._check_unchanged()
                raise
            self._check_unchanged()
            return
        self._private.restart()
        try:
            yield
        finally:
            if self._after_first is None:
                self._after_first = {d: self._private.state(d) for d in self._devices}

    def _check_unchanged(self) -> None:
        outer = _innermost()
        if not all(torch.equal(_state(d, outer), before) for d, before in self._before.items()):
            raise _NumbersWereDrawn


class _NumbersWereDrawn(BaseException):
    """A pass that was not watched has drawn numbers; no error, so that no model catches it."""


def _innermost() -> PrivateNumbers | None:
    return _active.stack[-1] if _active.stack else None


def _state(device: torch.device, numbers: PrivateNumbers | None) -> Tensor:
    """Return the state of the private generator or, without one, of the global one."""
    if numbers is not None:
        return numbers.state(device)
    return torch.get_rng_state() if device.type == "cpu" else torch.cuda.get_rng_state(device)


def _set_state(device: torch.device, state: Tensor, numbers: PrivateNumbers | None) -> None:
    if numbers is not None:
        numbers._generator(device).set_state(state)
    elif device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)


def _dropout(x: Tensor, p: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Do what the operation for GPUs does, which takes no generator."""
    mask = torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - p, generator=generator)
    return torch.where(mask, x / (1 - p), 0), mask


def _named(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = (argument.name for argument in func._schema.arguments)
    return dict(zip(names, args, strict=False)) | kwargs


def _device(given: dict[str, Any]) -> torch.device | None:
    """Return the device of an operation, or None if its generator is left alone."""
    tensors = (leaf for leaf in pytree.tree_leaves(given) if isinstance(leaf, Tensor))
    found = given.get("device") or next((tensor.device for tensor in tensors), None)
    device = torch.device("cpu" if found is None else found)
    if device == torch.device("cuda"):
        return torch.device("cuda", torch.cuda.current_device())
    return device if device.type in ("cpu", "cuda") else None


def _with_generator(func: Any) -> Any:
    """Return the overload of an operation that takes a generator, or None."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    name = func._overloadname
    wanted = "generator" if name == "default" else f"{name}_generator"
    packet = func.overloadpacket
    return getattr(packet, wanted) if wanted in packet.overloads() else None
