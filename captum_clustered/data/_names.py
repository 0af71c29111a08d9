"""Names of files that processes share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["Names"]


class Names(Sequence[str]):
    r"""
    Names of files in one block of memory.

    A list of millions of strings would be copied, page by page, into each process that reads
    images.

    The names are kept as the operating system has them, which need not be text. As strings,
    bytes that are no text are written ``\\xff``, so that different files have different names.
    """

    def __init__(self, names: Sequence[str]) -> None:
        encoded = [os.fsencode(name) for name in names]
        self._block = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._bytes(index).decode("utf-8", errors="backslashreplace")

    def file(self, index: int) -> str:
        """Return a name as the operating system takes it."""
        return os.fsdecode(self._bytes(index))

    def _bytes(self, index: int) -> bytes:
        # A negative index counts from the end, and one beyond it ends iteration.
        place = range(len(self))[index]
        return self._block[self._ends[place] : self._ends[place + 1]]
