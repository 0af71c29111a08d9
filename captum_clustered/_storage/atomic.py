"""Files that appear whole or not at all, whatever happens to the process or the machine."""

from __future__ import annotations

import csv
import io
import json
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Suffix of a file while it is written. It stays if the process dies.
UNFINISHED = ".part"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, replacing any; if an OSError is raised, an earlier file is as it was."""
    # A unique name: two processes that write the same file must not mix their bytes.
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


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Write JSON as a whole file, in ASCII: file names may hold bytes that are not UTF-8."""
    write_whole(path, (json.dumps(content, indent=indent) + "\n").encode())


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a table as a whole file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode("utf-8", errors="surrogateescape"))


def read_json_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, or None if the file holds anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def remove_unfinished(folder: Path, prefix: str) -> None:
    """Remove what dead processes left of files whose names begin with ``prefix``."""
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
