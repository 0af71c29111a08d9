"""The memory of what a forward pass computes behind the layer."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from captum_clustered._ablation.memory_cap import TooManyEvaluations


class TailMemory(TorchDispatchMode):
    """
    Adds up the memory of the tensors that this thread makes inside the context.

    Inside :func:`torch.func.vmap`, these are the tensors of all evaluations together. Memory
    that an operation needs for itself is not seen.

    Attributes:

        limit (int or None): With more bytes, the pass ends with TooManyEvaluations.
        peak (int): The most bytes that existed at once.
    """

    # Without this, torch refuses operations that take functions, such as flex_attention.
    supports_higher_order_operators = True

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.limit, self.peak, self._now = limit, 0, 0

    @classmethod
    def is_infra_mode(cls) -> bool:
        """Tell torch.compile that it need not refuse to run in this context."""
        return True

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation and add the memory of its results, unless it is an argument's."""
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        given = {storage._cdata for storage in _storages((args, [*kwargs.values()]))}
        for storage in _storages((found,)):
            if storage._cdata not in given:
                given.add(storage._cdata)
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        if self.limit is not None and self._now > self.limit:
            raise TooManyEvaluations
        return found

    def _add(self, n_bytes: int) -> None:
        self._now += n_bytes
        self.peak = max(self.peak, self._now)


def _storages(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    # Not pytree's functions, which would take longer than a small operation.
    for value in values:
        if isinstance(value, Tensor):
            found += [value.untyped_storage()] if torch._C._has_storage(value) else []
        elif isinstance(value, (tuple, list)):
            found += _storages(value)
    return found
