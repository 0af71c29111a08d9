"""One writer at a time."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"

# Folders that this process holds, whose own threads a file's lock does not keep apart.
_held: set[Path] = set()
_guard = threading.Lock()


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """
    Holds a folder, which is made if it is not there, until the block or the process ends.

    Raises:

        RuntimeError: If another process, or another thread of this one, holds it.
        OSError: If it cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder.resolve()
    with _guard:
        if place in _held:
            raise _taken(folder, "this process is already")
        _held.add(place)
    try:
        with _lock_file(folder):
            yield
    finally:
        with _guard:
            _held.remove(place)


@contextmanager
def _lock_file(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("a") as file:
        if fcntl is not None:
            try:
                # Not flock: workers that outlive this process would inherit it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                # Some network file systems know no locks.
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise _taken(folder, "another process is") from error
        yield


def _taken(folder: Path, by: str) -> RuntimeError:
    return RuntimeError(f"{by} writing a run into {folder}: wait for it, or choose another folder.")
