"""Wrappers of forward_func: which score is explained, how often it runs, what it gave."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from captum_clustered.scores import ScoreWrapper

Forward = Callable[..., Tensor]


class GuardedForward(ScoreWrapper):
    """A forward function that works on a copy: in-place operations stay its own affair."""

    def __init__(self, forward_func: Forward) -> None:
        super().__init__(forward_func, _same)

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        copies = (arg.clone() if isinstance(arg, Tensor) else arg for arg in args)
        return self.forward_func(*copies, **kwargs)


class CountedForward(GuardedForward):
    """
    A forward function that counts the examples it is given, and works on a copy of them.

    What an attribution evaluates behind the layer, without running the model again,
    is not seen here.
    """

    def __init__(self, forward_func: Forward) -> None:
        super().__init__(forward_func)
        self.rows = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        self.count(args[0])
        return super().__call__(*args, **kwargs)

    def count(self, inputs: Any) -> None:
        """Adds the examples of one forward pass."""
        if isinstance(inputs, Tensor) and inputs.dim():
            self.rows += len(inputs)


class Remembered:
    """
    A function of tensors that is evaluated once for the same values.

    Metrics ask for the probabilities of the same images again and again: the image
    itself, and the same masked image in average drop, increase in confidence and
    average gain. Inputs of more than ``limit`` examples are none of these, and are not
    looked at.
    """

    def __init__(self, function: Forward, limit: int) -> None:
        self.function = function
        self.limit = limit
        self._seen: dict[tuple[str, ...], Tensor] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        if len(args) != 1 or not isinstance(args[0], Tensor) or len(args[0]) > self.limit:
            return self.function(*args, **kwargs)
        key = (digest(args[0]), *(f"{name}={_text(kwargs[name])}" for name in sorted(kwargs)))
        if key not in self._seen:
            self._seen[key] = self.function(*args, **kwargs)
        # Not the tensor that is kept: whoever asks may change what they are given.
        return self._seen[key].clone()


def digest(tensor: Tensor) -> str:
    """A hash of a tensor's values, shape and dtype."""
    values = tensor.detach().cpu().contiguous()
    found = hashlib.blake2b(f"{tuple(values.shape)} {values.dtype}".encode(), digest_size=16)
    if values.numel():
        found.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _text(value: Any) -> str:
    return digest(value) if isinstance(value, Tensor) else repr(value)


def _same(logits: Tensor) -> Tensor:
    return logits
