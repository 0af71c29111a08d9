"""How much memory the ablated tensors of one forward pass may take."""

from __future__ import annotations

from dataclasses import dataclass

# The default bound on the elements of the ablated layer in one forward pass: 1 GiB in
# float32. What follows the layer is usually no wider than the layer.
MAX_ELEMENTS = 2**28


@dataclass
class SizeLimit:
    """How large a lazy tensor may be when it is computed, for one evaluation."""

    max_elements: int
    # The model may have caught the error.
    was_exceeded: bool = False


def max_elements(perturbations_per_eval: int | None, n_elements: int) -> int:
    """
    Return how many elements all ablated tensors may have at once.

    Args:

        perturbations_per_eval (int or None): How many ablated layers may be in memory, if the
                    user says so.
        n_elements (int): Of the layer.
    """
    if perturbations_per_eval is None:
        return MAX_ELEMENTS
    return perturbations_per_eval * n_elements


def chunk_size(perturbations_per_eval: int | None, n_elements: int) -> int:
    """Return how many evaluations, at least one, may have their ablated layers in memory."""
    return max(1, max_elements(perturbations_per_eval, n_elements) // n_elements)
