"""The probability of a class while pixels are exchanged in the order of a map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.metrics._confidence import confidence_of_variants
from captum_clustered.metrics._filling import Filling, fill
from captum_clustered.metrics._masking import explanation_mask, pixel_ranks


def perturbation_curve(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType,
    additional_forward_args: Any,
    *,
    inserting: bool,
    filling: Filling,
    n_steps: int,
    max_examples_per_batch: int | None,
) -> Tensor:
    """
    The target's probability after each step, shape (N, n_steps + 1).

    The arguments are those of :func:`insertion_curve
    <captum_clustered.metrics.insertion_curve>`; ``inserting`` is whether the pixels with
    the largest values are the first to come from the input or from the filling.
    """
    ranks = pixel_ranks(explanation_mask(attributions, inputs))
    counts = pixel_counts(ranks[0].numel(), n_steps).to(inputs.device)
    ranks, canvas = ranks.to(inputs.device), fill(inputs, filling)

    def probabilities(steps: Tensor) -> Tensor:
        def variant(examples: Tensor, variants: Tensor) -> Tensor:
            count = counts[steps[variants]].view(-1, *[1] * (inputs.dim() - 1))
            taken = ranks[examples] < count
            return torch.where(taken == inserting, inputs[examples], canvas[examples])

        return confidence_of_variants(
            forward_func,
            variant,
            len(steps),
            inputs,
            target,
            additional_forward_args,
            max_examples_per_batch,
        )

    # The two ends come each on its own: they are the same whatever the map, so a
    # forward_func that remembers what it has seen need not evaluate them again.
    steps = torch.arange(len(counts), device=inputs.device)
    parts = (steps[:1], steps[1:-1], steps[-1:])
    return torch.cat([probabilities(part) for part in parts if len(part)], dim=1)


def area_under(curve: Tensor, inputs: Tensor) -> Tensor:
    """The area under each example's curve over the share of pixels, shape (N,)."""
    n_pixels = inputs[0, 0].numel()
    shares = pixel_counts(n_pixels, curve.shape[1] - 1).to(curve) / n_pixels
    return torch.trapezoid(curve, shares, dim=1)


def pixel_counts(n_pixels: int, n_steps: int) -> Tensor:
    """
    The number of pixels exchanged after each of the steps 0 to n_steps.

    Raises:

        ValueError: If n_steps is not positive.
    """
    if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 1:
        raise ValueError(f"n_steps={n_steps!r} must be an int of at least 1.")
    steps = torch.arange(n_steps + 1, device="cpu")
    # Rounded half up.
    return (2 * n_pixels * steps + n_steps) // (2 * n_steps)
