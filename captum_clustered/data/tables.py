"""Folders, tables and files of a data set, and what to say if they are missing."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path


def find_folder(root: str | Path, markers: Sequence[str], source: str) -> Path:
    """
    The folder that holds a file or folder named by a pattern: root, or one in it.

    Raises:

        FileNotFoundError: If there is none; the message ends with ``source``.
        ValueError: If there are several.
    """
    root = Path(root).expanduser()
    # Archives are packed in a folder of their own, some of them twice.
    for depth in ("", "*/", "*/*/"):
        paths = (path for marker in markers for path in root.glob(depth + marker))
        # Archives made on macOS have a hidden companion of each file.
        folders = sorted({path.parent for path in paths if not path.name.startswith(".")})
        if len(folders) > 1:
            raise ValueError(
                f"root={str(root)!r} holds several folders with {' or '.join(markers)}: give one "
                f"of {', '.join(map(str, folders))}."
            )
        if folders:
            return folders[0]
    raise FileNotFoundError(
        f"root={str(root)!r} has no {' or '.join(markers)}, nor has a folder in it. {source}"
    )


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """
    The rows of a CSV file with a header.

    Raises:

        FileNotFoundError: If there is no such file.
        ValueError: If one of ``columns`` is missing, or all rows are.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing.")
    # A stray byte in a column that nobody reads is no reason to fail.
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        found = reader.fieldnames or []
        missing = [column for column in columns if column not in found]
        if missing:
            raise ValueError(
                f"{path} has no column {', '.join(map(repr, missing))}; it has "
                f"{', '.join(map(repr, found)) or 'none'}."
            )
        # Short rows have None.
        rows = [{name: (row[name] or "").strip() for name in found} for row in reader]
    if not rows:
        raise ValueError(f"{path} has no rows.")
    return rows


def check_files(paths: Sequence[Path], what: str, source: str = "") -> None:
    """
    Raises:

        FileNotFoundError: If some are missing, saying how many and which.
    """
    missing = [path for path in paths if not path.is_file()]
    if missing:
        some = ", ".join(map(str, missing[:3])) + (", ..." if len(missing) > 3 else "")
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} {what} are missing: {some}. {source}".rstrip()
        )


def check_split(split: str, accepted: Sequence[str]) -> None:
    """
    Raises:

        ValueError: If split is not one of those accepted.
    """
    if split not in accepted:
        raise ValueError(f"split={split!r} must be one of {', '.join(map(repr, accepted))}.")
