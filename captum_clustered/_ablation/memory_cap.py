"""How much memory the ablated tensors of one forward pass may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# The default bound on the elements of the ablated layer in one forward pass: 1 GiB in float32.
MAX_ELEMENTS = 2**28
# Behind the layer, the tensors of all evaluations may take this many bytes at once...
TAIL_BYTES = 2**28
# ...or this many times the ablated layer, up to a maximum. Maps that a classifier computes behind
# the layer stay below that, so that one pass is enough; a decoder's maps grow beyond it.
TAIL_LAYERS = 16
MAX_TAIL_BYTES = 2**32


class PassEnds(BaseException):
    """A pass under vmap ends, and another one follows; no error, so that no model catches it."""


class TooManyEvaluations(PassEnds):
    """
    A pass would take too much memory.

    Args:

        chunk (int or None): How many evaluations can be in memory at once, if it is known.
    """

    def __init__(self, chunk: int | None = None) -> None:
        super().__init__(f"{chunk or 'Fewer'} evaluations fit in memory at once.")
        self.chunk = chunk


@dataclass
class SizeLimit:
    """
    What a lazy tensor respects when it is computed.

    Attributes:

        max_elements (int): How many elements it may have per evaluation.
        before_computing (Callable or None): Called before it is computed.
    """

    max_elements: int
    before_computing: Callable[[], None] | None = None


def max_elements(perturbations_per_eval: int | None, n_elements: int) -> int:
    """Return how many elements the ablated copies of a layer of n_elements may have together."""
    return MAX_ELEMENTS if perturbations_per_eval is None else perturbations_per_eval * n_elements


def chunk_size(perturbations_per_eval: int | None, n_elements: int) -> int:
    """Return how many ablated copies of the layer may be in memory at once, at least one."""
    return max(1, max_elements(perturbations_per_eval, n_elements) // n_elements)


def tail_limit(layer_bytes: int, n_evaluations: int) -> int:
    """Return how many bytes the tensors behind a layer may take, of some evaluations together."""
    return max(TAIL_BYTES, min(TAIL_LAYERS * n_evaluations * layer_bytes, MAX_TAIL_BYTES))


def tail_chunk_size(layer_bytes: int, tail_bytes: int) -> int:
    """Return how many evaluations respect the limit together if one takes ``tail_bytes``."""
    limit = MAX_TAIL_BYTES if tail_bytes <= TAIL_LAYERS * layer_bytes else TAIL_BYTES
    # At least two: a pass then needs about twice the memory of a plain one.
    return max(2, limit // max(1, tail_bytes))
