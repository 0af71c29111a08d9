"""What a comparison knows by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from captum.attr import LayerAttribution
from torch.nn import Module

from captum_clustered._argument_checks import check_type
from captum_clustered._errors import close_matches
from captum_clustered.comparison.forward import Forward

Factory = Callable[[Forward, Module], LayerAttribution]


@dataclass(frozen=True)
class MethodInfo:
    """A method of a comparison."""

    name: str  # in tables
    build: Callable[..., LayerAttribution]  # from a forward function and a layer
    source: str  # the package it comes from, or "control"
    meaning: str  # the map, in one line
    is_slow: bool = False  # runs the model for each channel, and is no default
    needs_masks: bool = False  # masks of the object
    is_seeded: bool = False  # build takes the comparison's seed as seed
    is_of_layer: bool = True  # the map depends on the layer

    @property
    def is_control(self) -> bool:
        """Whether the map ignores which class is explained."""
        return self.source == "control"

    def row(self) -> str:
        """Return the method's row of the table in the documentation."""
        notes = {"slow": self.is_slow, "needs masks": self.needs_masks}
        note = ", ".join(name for name, applies in notes.items() if applies)
        return f"| {self.name} | {self.source} | {self.meaning} | {note} |"


def chosen(argument: str, given: Any) -> dict[str, Any]:
    """Return one dictionary: name -> what the user gave, or None for a name alone."""
    if isinstance(given, (str, Mapping)):
        given = [given]
    check_type(argument, given, Iterable, "a list of names, a dict or None")
    found: dict[str, Any] = {}
    for item in given:
        pairs = item.items() if isinstance(item, Mapping) else [(item, None)]
        for name, value in pairs:
            check_type(argument, name, str, "names or a dict by name")
            if name in found:
                raise ValueError(f"{argument} has {name!r} twice.")
            found[name] = value
    return found


def unknown(argument: str, name: str, known: Iterable[str]) -> ValueError:
    """Return the error for an unknown name."""
    known = list(known)
    accepted = ", ".join(map(repr, known))
    return ValueError(
        f"{argument} has no {name!r}.{close_matches(name, known)} Accepted are {accepted}."
    )
