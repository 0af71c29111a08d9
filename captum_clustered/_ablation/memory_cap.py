"""How much memory the ablated tensors of one forward pass may take."""

from __future__ import annotations

from dataclasses import dataclass

# The default bound on the elements of the ablated layer in one forward pass, and on those of
# each module's output behind it: 1 GiB in float32.
MAX_ELEMENTS = 2**28


@dataclass
class SizeLimit:
    """How many elements a lazy tensor may have per evaluation when it is computed."""

    max_elements: int
    # Recorded, because the model may catch the error.
    was_exceeded: bool = False


def max_elements(perturbations_per_eval: int | None, n_elements: int) -> int:
    """Return how many elements the ablated copies of a layer of n_elements may have together."""
    return MAX_ELEMENTS if perturbations_per_eval is None else perturbations_per_eval * n_elements


def chunk_size(perturbations_per_eval: int | None, n_elements: int) -> int:
    """Return how many ablated copies of the layer may be in memory at once, at least one."""
    return max(1, max_elements(perturbations_per_eval, n_elements) // n_elements)
