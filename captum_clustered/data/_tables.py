"""Find and read the folders, tables and files of a data set."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from captum_clustered._errors import first_few, one_line, printable
from captum_clustered.data.dicom import split_frame

# Both are usual for the column of the images' files.
_ALIASES = {"image": "file", "file": "image"}


class Row(dict[str, str]):
    """A row of a table by column; ``line`` is its (last) line in the file."""

    line: int = 0


def read_table(path: Path, columns: Iterable[str], optional: Iterable[str] = ()) -> list[Row]:
    """
    Read the rows of a CSV file with a header; empty rows are left out.

    ``image`` and ``file`` are two names of the same column. All of columns must be there, or a
    ValueError says what is wrong; optional ones are empty where they are not.
    """
    name = printable(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no table {name}.")
    rows = []
    # Spreadsheets write a byte order mark. A stray byte in a column that nobody reads is no
    # reason to fail.
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        try:
            found = [column.strip() for column in reader.fieldnames or []]
            reader.fieldnames = found
            _check_columns(found, columns, name)
            for values in reader:
                # Short rows have None.
                row = Row({column: (values[column] or "").strip() for column in found})
                row.line = reader.line_num
                for column in optional:
                    row.setdefault(column, "")
                for column, other in _ALIASES.items():
                    if column in found:
                        row.setdefault(other, row[column])
                if any(row.values()):
                    rows.append(row)
        except csv.Error as error:
            raise ValueError(f"{name} cannot be read as a table: {one_line(error)}") from error
    if not rows:
        raise ValueError(f"{name} has no rows.")
    return rows


def _check_columns(found: Sequence[str], columns: Iterable[str], name: str) -> None:
    twice = sorted({column for column in found if column and found.count(column) > 1})
    if twice:
        raise ValueError(f"{name} has two columns {', '.join(map(repr, twice))}.")
    missing = [c for c in columns if c not in found and _ALIASES.get(c) not in found]
    if missing:
        raise ValueError(
            f"{name} has no column {', '.join(map(repr, missing))} in its first line; it has "
            f"{', '.join(map(repr, found)) or 'none'}."
        )


def find_folder(root: str | Path, markers: Sequence[str], source: str) -> Path:
    """Find the folder, root or one in it, that holds a file or folder of one of the patterns."""
    root = Path(root).expanduser()
    if not root.is_dir():
        what = "is a file: unpack it" if root.exists() else "does not exist"
        raise FileNotFoundError(f"root={str(root)!r} must be a folder, and {what}. {source}")
    # Archives hold one folder with everything, some of them twice.
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
    entries = sorted(path.name for path in root.iterdir())
    there = first_few(entries) if entries else "nothing"
    raise FileNotFoundError(
        f"root={str(root)!r} has no {' or '.join(markers)}, nor has a folder in it; it has "
        f"{there}. {source}"
    )


def check_files(paths: Sequence[Path], what: str, source: str = "") -> None:
    """Check that all files are there."""
    missing = [path for path in paths if not split_frame(path)[0].is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} {what} are missing: {first_few(missing)}. "
            f"{source}".rstrip()
        )


def check_split(split: str, accepted: Sequence[str], where: str = "") -> None:
    """Check the name of a split; where begins the message."""
    if split not in accepted:
        raise ValueError(f"{where}split={split!r} must be one of {', '.join(map(repr, accepted))}.")
