"""One writer at a time."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """
    Holds a folder, which is made if it is not there, until the block or the process ends.

    Raises:

        RuntimeError: If another process holds it.
        OSError: If it cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        if fcntl is not None:
            try:
                # Not flock: workers that outlive this process would inherit it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                # Some network file systems know no locks.
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise RuntimeError(
                        f"another process is writing a run into {folder}: wait for it, or choose "
                        "another folder."
                    ) from error
        yield
