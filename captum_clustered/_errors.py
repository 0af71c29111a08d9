"""What goes wrong for reasons that the user can mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

__all__ = ["UserError", "close_matches", "explained", "one_line"]


class UserError(Exception):
    """One clear sentence for the user, shown without a traceback."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """
    Makes any failure of code that is not ours (a user's model, a decoder) a sentence.

    Args:

        what (str): What failed, the beginning of the sentence.

    Raises:

        UserError: For any exception that is none already; Ctrl-C passes through.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{what}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The first line of an exception's message, with its type where that says more."""
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    if not lines:
        return name
    # Messages of these are written for people; "KeyError: 'x'" needs its type.
    return lines[0] if isinstance(error, (ValueError, OSError)) else f"{name}: {lines[0]}"


def close_matches(word: str, known: Any) -> str:
    """``" Did you mean 'a' or 'b'?"``, empty if nothing is close."""
    matches = get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, matches))}?" if matches else ""
