"""Files that appear whole or not at all, whatever happens to the process or the machine."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

# What is being written, or was when the process died, ends in this.
UNFINISHED = ".part"


def write_whole(path: Path, content: bytes) -> None:
    """
    Writes a file, in place of any that is there.

    Raises:

        OSError: If it cannot be written; what was there before is left as it was.
    """
    # A name of its own: two processes that write the same file must not mix their bytes.
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}{UNFINISHED}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_unfinished(folder: Path, prefix: str) -> None:
    """Removes what processes that died have left of files whose names begin like this."""
    for path in folder.glob(f"{prefix}*{UNFINISHED}"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
