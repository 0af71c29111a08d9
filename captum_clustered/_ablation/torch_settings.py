"""PyTorch settings that are global to the process and that an attribution needs changed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch


class SharedSwitch:
    """
    A context that enters another while it has any user in any thread.

    Setting and restoring a global in each thread by itself would leave it set when
    two threads overlap: the second one would restore what the first one had set.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stack = ExitStack()

    @contextmanager
    def using(self, context: AbstractContextManager[None]) -> Iterator[None]:
        """Enters ``context`` if nobody has; the last user leaves it."""
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
    Silences vmap's warning that it loops over an operation that has no batching rule.

    The loop is over the small tail of the model and the result is the same, so the
    warning would tell users of every transformer and of every channels-last model
    something they can do nothing about.
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
    Lets models compiled by torch.compile run as they were written.

    A hook that comes and goes makes the compiler start anew at each attribution.
    """
    if "torch._dynamo" not in sys.modules:
        # Nothing is compiled, and importing the compiler takes seconds.
        yield
        return
    with _compiler_stance.using(_force_eager()):
        yield


@contextmanager
def _force_eager() -> Iterator[None]:
    with torch.compiler.set_stance("force_eager"):
        yield
