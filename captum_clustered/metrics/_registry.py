"""The registry of metrics: what comparisons, tables, figures and documentation need to know."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar

from captum_clustered.metrics._documentation import complete

Function = TypeVar("Function", bound=Callable[..., Any])

# Direction of better values -> the arrow after a metric's name in tables.
ARROWS: Mapping[str | None, str] = MappingProxyType({"higher": " ↑", "lower": " ↓", None: ""})


@dataclass(frozen=True)
class MetricInfo:
    """One metric under its name in tables."""

    label: str  # the name in tables
    function: Callable[..., Any]
    direction: str | None  # of better values: "higher", "lower" or None
    meaning: str  # what is measured, in one line
    values: str  # their range
    won_by: str  # the maps that get good values without explaining anything
    is_slow: bool = False  # costs many forward passes
    is_default: bool = True  # a comparison evaluates it unless told otherwise
    is_variant: bool = False  # another metric with other options
    options: Mapping[str, Any] = field(default_factory=dict)  # arguments of the function
    part: str = ""  # the field to take if the function returns a named tuple

    def takes(self, argument: str) -> bool:
        """
        Return whether the function has a parameter of this name.

        "masks" are masks of the object, "forward_func" returns probabilities and
        "explanation_func" computes the method's maps of other inputs.
        """
        return argument in inspect.signature(self.function).parameters

    def row(self) -> str:
        """Return the metric's row of the table in the documentation."""
        name = self.function.__name__ + (f".{self.part}" if self.part else "")
        code = "Captum's own" if self.takes("case") else f"`{name}`"
        cells = (self.label, code, self.meaning, self.values, self.direction or "-", self.won_by)
        return f"| {' | '.join(cells)} |"


# Label -> metric, in the order of tables. Modules of this package add their metrics.
METRICS: dict[str, MetricInfo] = {}


def metric(
    label: str,
    *,
    direction: str | None,
    meaning: str,
    values: str,
    won_by: str,
    is_slow: bool = False,
    defaults: Sequence[str] = ("",),
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    part: str = "",
) -> Callable[[Function], Function]:
    """
    Declare a metric, beside the function that computes it.

    The docstring of a public function gets values, direction and winners, and the sections
    that :func:`complete` adds. ``variants`` are suffixes of the label and keyword arguments,
    ``defaults`` the suffixes that a comparison evaluates by default; the metric itself has
    the suffix "". For the other arguments see :class:`MetricInfo`.

    Raises:

        ValueError: If the label is taken or direction is not an accepted value.
    """
    if direction not in ARROWS:
        raise ValueError(f"direction={direction!r} must be 'higher', 'lower' or None.")

    def declare(function: Function) -> Function:
        better = f"; {direction} is better" if direction else ""
        verdict = f"Values: {values}{better}. Won by {won_by}."
        complete(function, "" if part else textwrap.fill(verdict, 88))
        info = MetricInfo(label, function, direction, meaning, values, won_by, is_slow, part=part)
        for suffix, options in {"": {}, **(variants or {})}.items():
            name = f"{label}{suffix}"
            if name in METRICS:
                raise ValueError(f"There is a metric {name!r} already.")
            METRICS[name] = replace(
                info,
                label=name,
                is_default=suffix in defaults,
                is_variant=bool(suffix),
                options=options,
            )
        return function

    return declare
