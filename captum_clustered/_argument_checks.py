"""Checks of arguments, whose messages name the argument, the value and what is accepted."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeGuard

import numpy as np
from torch import Tensor


def check_int(name: str, value: object, minimum: int) -> None:
    """Raise ValueError unless an argument is an integer of at least ``minimum``."""
    if not is_int(value) or value < minimum:
        raise ValueError(f"{name}={value!r} must be an int of at least {minimum}.")


def check_type(name: str, value: object, kind: type | tuple[type, ...], accepted: str) -> None:
    """Raise TypeError unless an argument is of a type, which the message calls ``accepted``."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {accepted}; got {type(value).__name__}.")


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Raise ValueError unless an argument is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} must be {' or '.join(map(repr, choices))}.")


def is_int(value: object) -> TypeGuard[int]:
    """Return whether a value is an integer of Python or NumPy, but not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def shape_of(value: object) -> str:
    """Return the shape of a tensor, or the type of anything else, for messages."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
