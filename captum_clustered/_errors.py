"""
Errors that the user can correct.

The library raises standard exceptions (``ValueError``, ``FileNotFoundError`` ...) whose message
is a sentence. :func:`as_user_error` is the one place that turns them into what the command line
shows without a traceback.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

# Their messages are written for people. Others, such as "KeyError: 'x'", need their type.
_READABLE = (ValueError, OSError, ImportError)


class UserError(Exception):
    """One sentence that the command line shows without a traceback."""


class ImageError(ValueError):
    """An image or a mask that cannot be read; the message names the file and the reason."""


@contextmanager
def as_user_error(option: str = "") -> Iterator[None]:
    """Turn any ValueError, OSError or ImportError into a UserError that begins with the option."""
    try:
        yield
    except _READABLE as error:
        text = one_line(error)
        raise UserError(f"{option}: {text}" if option else text) from error


@contextmanager
def explained(what: str, error_type: type[Exception] = UserError) -> Iterator[None]:
    """Turn any failure of foreign code (a model, a decoder) into a sentence that begins so."""
    try:
        yield
    except Exception as error:
        # These have their sentence already.
        if isinstance(error, UserError) or (type(error) is error_type is ImageError):
            raise
        raise error_type(f"{what}: {one_line(error)}") from error


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Name the extra to install where an import of an optional package fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{what} needs {error.name}, which is not installed: "
            f"pip install captum_clustered[{extra}]",
            name=error.name,
        ) from error


def one_line(error: BaseException) -> str:
    """Return the first line of an exception's message, with its type where that adds something."""
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    if not lines:
        return name
    return lines[0] if isinstance(error, (*_READABLE, UserError)) else f"{name}: {lines[0]}"


def printable(path: str | os.PathLike[str]) -> str:
    """Return a path as text: file names need not be valid in any encoding."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def first_few(names: Sequence[object], n: int = 3) -> str:
    """Return ``"a, b, c and 4 more"``."""
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(map(str, names[:n])) + more


def close_matches(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'a' or 'b'?"``, or an empty string if nothing is close."""
    matches = get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, matches))}?" if matches else ""
