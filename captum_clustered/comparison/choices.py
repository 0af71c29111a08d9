"""What the user asked for, by name or by hand, as one dictionary."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


def chosen(argument: str, given: Any) -> dict[str, Any]:
    """
    Names and dictionaries in one: name -> what the user gave, or None for a known name.

    Raises:

        TypeError: If it is neither names nor dictionaries.
        ValueError: If a name comes twice.
    """
    if isinstance(given, (str, Mapping)):
        given = [given]
    if not isinstance(given, Iterable):
        raise TypeError(
            f"{argument} must be a list of names, a dict or None; got {type(given).__name__}."
        )
    found: dict[str, Any] = {}
    for item in given:
        pairs = item.items() if isinstance(item, Mapping) else [(item, None)]
        for name, value in pairs:
            if not isinstance(name, str):
                raise TypeError(
                    f"{argument} must be names or a dict by name; got {type(name).__name__}."
                )
            if name in found:
                raise ValueError(f"{argument} has {name!r} twice.")
            found[name] = value
    return found


def unknown(argument: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that nobody knows."""
    known = list(known)
    close = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ValueError(f"{argument} has no {name!r}.{hint} Known are {', '.join(map(repr, known))}.")
