"""No advice to file PyTorch issues while the single pass runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_users = 0


@contextmanager
def quiet_fallback() -> Iterator[None]:
    """
    Silences vmap's warning that it loops over an operation that has no batching rule.

    The loop is over the small tail of the model and the result is the same, so the
    warning would tell users of every transformer and of every channels-last model
    something they can do nothing about. The switch is global to the process; counting
    its users keeps threads from switching it back too early.
    """
    global _users
    with _lock:
        _users += 1
        _set_enabled(False)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _set_enabled(True)


def _set_enabled(enabled: bool) -> None:
    torch._C._functorch._set_vmap_fallback_warning_enabled(enabled)  # type: ignore[attr-defined]
