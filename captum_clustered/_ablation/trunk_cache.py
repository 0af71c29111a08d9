"""What a model does in front of a layer, done once and handed out again."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

# What a call may return to be handed out again as it is. An iterator, for instance, may not:
# it is used up.
_PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    torch.Size,
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
    np.ndarray,
    np.generic,
)


class TrunkMemory:
    """
    Lets a model start again at a layer: calls of torch in front of it are not computed again.

    The first forward pass is watched, up to the layer, by a
    :class:`torch.overrides.TorchFunctionMode`, which notes what each call of torch returns.
    In later passes the model's own code runs as before, but each of these calls returns what
    it returned then. Only tensors that something still refers to when the layer is reached
    are kept, for nothing else can be used behind it; all others become tensors on the device
    "meta", which have a shape and no memory. So this costs hardly any memory, and what
    should compute with them nevertheless (code that torch functions do not pass through)
    raises instead of giving a wrong number.

    A trunk that cannot be left out (it draws random numbers, or a call returns something
    that is used up, such as an iterator) has to be run again each time.
    """

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self._kept: list[tuple[Tensor, int]] = []
        self._is_known = False

    @property
    def is_usable(self) -> bool:
        """Whether the trunk has been seen and can be left out."""
        # Something behind the layer may have written into a tensor that is kept.
        return self._is_known and all(tensor._version == version for tensor, version in self._kept)

    def settle(self, calls: list[_Call]) -> None:
        """Takes the calls in front of the layer, at the moment when it is reached."""
        for call in calls:
            call.settle()
        kept = [tensor for call in calls for tensor in call.kept()]
        if any(tensor.is_inference() for tensor in kept):
            # Whether they are written into cannot be told.
            return
        self.calls = calls
        self._kept = [(tensor, tensor._version) for tensor in kept]
        self._is_known = True


class Watch(TorchFunctionMode):
    """Around the first pass: fills a memory."""

    def __init__(self, memory: TrunkMemory) -> None:
        super().__init__()
        self._memory = memory
        self._calls: list[_Call] | None = []
        self._generators = _generator_states()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Makes the call and notes it."""
        result = func(*args, **(kwargs or {}))
        if self._calls is not None:
            call = _Call(func, result)
            if call.can_be_repeated:
                self._calls.append(call)
            else:
                self._calls = None
        return result

    def reach_layer(self) -> None:
        """To be called at the layer: what follows is not noted."""
        calls, self._calls = self._calls, None
        states = zip(_generator_states(), self._generators, strict=True)
        if calls is not None and all(torch.equal(now, then) for now, then in states):
            self._memory.settle(calls)


class Skip(TorchFunctionMode):
    """Around a later pass: answers from a memory until the layer is reached."""

    def __init__(self, memory: TrunkMemory) -> None:
        super().__init__()
        self._calls = iter(memory.calls)
        self._is_behind = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """
        What the call returned in the first pass or, behind the layer, what it returns.

        Raises:

            RuntimeError: If another call is made than at this place in the first pass.
        """
        if self._is_behind:
            return func(*args, **(kwargs or {}))
        call = next(self._calls, None)
        # Not `is not`: the getter of a property is a new object each time.
        if call is None or call.function != func:
            raise RuntimeError("The model makes other calls than in its first pass.")
        return call.result()

    def reach_layer(self) -> None:
        """
        To be called at the layer.

        Raises:

            RuntimeError: If calls are missing in front of it.
        """
        if next(self._calls, None) is not None:
            raise RuntimeError("The model makes fewer calls than in its first pass.")
        self._is_behind = True


class _Call:
    """A function of torch and what it returned."""

    def __init__(self, function: Callable[..., Any], result: Any) -> None:
        self.function = function
        leaves, self._spec = pytree.tree_flatten(result)
        self.can_be_repeated = all(isinstance(leaf, (Tensor, *_PLAIN)) for leaf in leaves)
        self._leaves = [_Seen(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]

    def settle(self) -> None:
        """Keeps the tensors that somebody else keeps, and stand-ins for the others."""
        self._leaves = [
            leaf.tensor_or_stand_in() if isinstance(leaf, _Seen) else leaf for leaf in self._leaves
        ]

    def kept(self) -> list[Tensor]:
        """The tensors that are kept."""
        tensors = [leaf for leaf in self._leaves if isinstance(leaf, Tensor)]
        return [tensor for tensor in tensors if not tensor.is_meta]

    def result(self) -> Any:
        """What it returned, in containers of its own."""
        return pytree.tree_unflatten(self._leaves, self._spec)


class _Seen:
    """A tensor that is not kept alive."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = weakref.ref(tensor)
        self._form = tuple(tensor.shape), tensor.dtype

    def tensor_or_stand_in(self) -> Tensor:
        """The tensor, if it is still there."""
        tensor = self._tensor()
        if tensor is not None:
            return tensor
        shape, dtype = self._form
        return torch.empty(shape, dtype=dtype, device="meta")


def _generator_states() -> list[Tensor]:
    """Of the CPU and, where it is in use, of the current GPU."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states.append(torch.cuda.get_rng_state())
    return states
