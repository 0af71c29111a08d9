"""PyTorch settings that an attribution changes while it runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch
from torch import Tensor


class SharedSwitch:
    """
    A global setting that several threads use: the first one sets it, the last one restores it.

    If each thread restored what it found, and two threads overlapped, the second one would
    restore the value that the first one had set.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stack = ExitStack()

    @contextmanager
    def using(self, context: AbstractContextManager[None]) -> Iterator[None]:
        """Enter ``context`` with the first user; leave it with the last one."""
        with self._lock:
            if self._users == 0:
                self._stack.enter_context(context)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._stack.close()


_fallback_warning = SharedSwitch()
_compiler_stance = SharedSwitch()


def quiet_fallback() -> AbstractContextManager[None]:
    """
    Silence vmap's warning that it loops over an operation that has no batching rule.

    The result is the same, and users of transformers and of channels-last models could not
    avoid the warning.
    """
    return _fallback_warning.using(_warning_off())


@contextmanager
def _warning_off() -> Iterator[None]:
    switch = torch._C._functorch._set_vmap_fallback_warning_enabled  # type: ignore[attr-defined]
    switch(False)
    try:
        yield
    finally:
        switch(True)


@contextmanager
def eager_mode() -> Iterator[None]:
    """
    Run compiled models without the compiler.

    It would compile again at each attribution, because of the temporary hook.
    """
    if "torch._dynamo" not in sys.modules:
        # No model is compiled, and importing the compiler takes seconds.
        yield
        return
    with _compiler_stance.using(_force_eager()):
        yield


@contextmanager
def _force_eager() -> Iterator[None]:
    with torch.compiler.set_stance("force_eager"):
        yield


def without_autocast(tensor: Tensor) -> AbstractContextManager[None]:
    """
    Keep matrix products in the dtype of their operands.

    The layer's hook runs inside the autocast region of the caller or the model, which would
    compute k-means and Gram matrices in half precision.
    """
    context: AbstractContextManager[None] = torch.autocast(tensor.device.type, enabled=False)
    return context
