"""Wrappers of forward_func that copy its inputs, count them or remember its results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from captum_clustered._storage.fingerprints import hash_tensor
from captum_clustered.scores import ScoreWrapper

Forward = Callable[..., Tensor]


class GuardedForward(ScoreWrapper):
    """A forward function that runs on copies, so in-place operations do not reach its inputs."""

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return what the wrapped function returns."""
        copies = (arg.clone() if isinstance(arg, Tensor) else arg for arg in args)
        return self.forward_func(*copies, **kwargs)


class CountedForward(GuardedForward):
    """A forward function that counts its examples, without those of the layers behind alone."""

    def __init__(self, forward_func: Forward) -> None:
        super().__init__(forward_func)
        self.n_examples = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return what the wrapped function returns."""
        self.count(args[0])
        return super().__call__(*args, **kwargs)

    def count(self, inputs: Any) -> None:
        """Add the examples of one forward pass."""
        if isinstance(inputs, Tensor) and inputs.dim():
            self.n_examples += len(inputs)


class Remembered:
    """
    A function of a tensor that is evaluated once for equal values.

    Several metrics need the probabilities of the same images or masked images. Inputs of
    more than ``limit`` examples are none of these and are always evaluated.
    """

    def __init__(self, function: Forward, limit: int) -> None:
        self.function = function
        self.limit = limit
        self._seen: dict[tuple[str, ...], Tensor] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return what the wrapped function returns."""
        if len(args) != 1 or not isinstance(args[0], Tensor) or len(args[0]) > self.limit:
            return self.function(*args, **kwargs)
        values = [args[0], *(part for pair in sorted(kwargs.items()) for part in pair)]
        key = tuple(hash_tensor(v) if isinstance(v, Tensor) else repr(v) for v in values)
        if key not in self._seen:
            self._seen[key] = self.function(*args, **kwargs)
        # A copy, because the caller may change it in place.
        return self._seen[key].clone()
