"""Checks of arguments, whose messages name the argument, the value and what is accepted."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeGuard

import numpy as np


def check_int(name: str, value: object, minimum: int) -> None:
    """Raise ValueError unless an argument is an integer of at least ``minimum``."""
    if not is_int(value) or value < minimum:
        raise ValueError(f"{name}={value!r} must be an int of at least {minimum}.")


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Raise ValueError unless an argument is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} must be {' or '.join(map(repr, choices))}.")


def is_int(value: object) -> TypeGuard[int]:
    """Return whether a value is an integer of Python or NumPy, but not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
