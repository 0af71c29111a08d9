"""Insertion and deletion: the class probability while pixels are exchanged in the map's order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered._argument_checks import check_int
from captum_clustered.metrics._confidence import confidence_of_variants
from captum_clustered.metrics._documentation import documented
from captum_clustered.metrics._masking import (
    Baseline,
    baseline_inputs,
    explanation_mask,
    pixel_ranks,
)
from captum_clustered.metrics._registry import metric

__all__ = ["deletion", "deletion_curve", "insertion", "insertion_curve", "insertion_minus_deletion"]


@documented
def insertion_curve(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    baseline: Baseline = "blur",
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    Compute the class probability while pixels are inserted, the most important first.

    Point i of the curve is the probability of the target on the baseline with the input's
    pixels in those ``i / n_steps`` of the places (rounded to whole pixels, half up) where
    the map is largest: Petsiuk et al., "RISE", BMVC 2018. Only the order of the map's
    values matters. Equal values are taken in reading order, so a constant map inserts the
    image from the top. The earlier the curve rises, the better.

    Returns:
        Tensor: Shape (N, n_steps + 1), from the baseline to the input.
    """
    arguments = (forward_func, inputs, attributions, target, additional_forward_args)
    options = (baseline, n_steps, max_examples_per_batch)
    return perturbation_curve(*arguments, True, *options)


@metric(
    "insertion",
    direction="higher",
    meaning="area under p while pixels are inserted into a blurred image, most important first",
    values="0 to 1",
    won_by="any map, on images that the network recognizes even if blurred; a Gaussian in the "
    "middle",
)
def insertion(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    baseline: Baseline = "blur",
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    Compute the area under the :func:`insertion_curve` over the share of pixels.

    The area is that of trapezoids. Without a blur, the network sees the sharp edges of the
    inserted regions too. Read it next to :func:`deletion`, or use
    :func:`insertion_minus_deletion`.

    Returns:
        Tensor: Area of each example, shape (N,).
    """
    arguments = (forward_func, inputs, attributions, target, additional_forward_args)
    options = (baseline, n_steps, max_examples_per_batch)
    return area_under(perturbation_curve(*arguments, True, *options), inputs)


@documented
def deletion_curve(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    baseline: Baseline = 0.0,
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    Compute the class probability while pixels are deleted, the most important first.

    Point i of the curve is the probability of the target on the input with the baseline in
    those ``i / n_steps`` of the places (rounded to whole pixels, half up) where the map is
    largest: Petsiuk et al., "RISE", BMVC 2018. Only the order of the map's values matters;
    equal values are taken in reading order. The earlier the curve falls, the better.

    Returns:
        Tensor: Shape (N, n_steps + 1), from the input to the baseline.
    """
    arguments = (forward_func, inputs, attributions, target, additional_forward_args)
    options = (baseline, n_steps, max_examples_per_batch)
    return perturbation_curve(*arguments, False, *options)


@metric(
    "deletion",
    direction="lower",
    meaning="area under p while pixels are set to zero, most important first",
    values="0 to 1",
    won_by="scattered pixels: without them, the image does not look like a real image",
)
def deletion(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    baseline: Baseline = 0.0,
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    Compute the area under the :func:`deletion_curve` over the share of pixels.

    The area is that of trapezoids. If the baseline looks natural, as black does in
    ultrasound, the metric measures something else: compare with ``baseline="blur"``.

    Returns:
        Tensor: Area of each example, shape (N,).
    """
    arguments = (forward_func, inputs, attributions, target, additional_forward_args)
    options = (baseline, n_steps, max_examples_per_batch)
    return area_under(perturbation_curve(*arguments, False, *options), inputs)


@metric(
    "insertion - deletion",
    direction="higher",
    meaning="insertion minus deletion, both with a blurred image; 0 is expected of a random map",
    values="-1 to 1",
    won_by="a Gaussian in the middle",
)
def insertion_minus_deletion(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    baseline: Baseline = "blur",
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    Compute :func:`insertion` minus :func:`deletion`, both with the same baseline.

    With one baseline both curves run between the same two pictures, so the network's
    response to the baseline cancels. It does not between the usual insertion from a blur
    and deletion to zero.

    Returns:
        Tensor: Difference of each example, shape (N,).
    """
    arguments = (forward_func, inputs, attributions, target, additional_forward_args)
    options = (baseline, n_steps, max_examples_per_batch)
    inserted = perturbation_curve(*arguments, True, *options)
    deleted = perturbation_curve(*arguments, False, *options)
    return area_under(inserted, inputs) - area_under(deleted, inputs)


@torch.no_grad()
def perturbation_curve(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType,
    additional_forward_args: Any,
    inserting: bool,
    baseline: Baseline,
    n_steps: int,
    max_examples_per_batch: int | None,
) -> Tensor:
    """Return the insertion curve or, unless ``inserting``, the deletion curve."""
    ranks = pixel_ranks(explanation_mask(attributions, inputs))
    counts = pixel_counts(ranks[0].numel(), n_steps).to(inputs.device)
    ranks, hidden = ranks.to(inputs.device), baseline_inputs(inputs, baseline)

    def probabilities(steps: Tensor) -> Tensor:
        def variant(examples: Tensor, variants: Tensor) -> Tensor:
            count = counts[steps[variants]].view(-1, *[1] * (inputs.dim() - 1))
            taken = ranks[examples] < count
            return torch.where(taken == inserting, inputs[examples], hidden[examples])

        model = (forward_func, inputs, target, additional_forward_args)
        return confidence_of_variants(*model, variant, len(steps), max_examples_per_batch)

    # The two ends do not depend on the map. As batches of their own, they are evaluated only
    # once by a forward_func that remembers its results.
    steps = torch.arange(len(counts), device=inputs.device)
    parts = (steps[:1], steps[1:-1], steps[-1:])
    return torch.cat([probabilities(part) for part in parts if len(part)], dim=1)


def area_under(curve: Tensor, inputs: Tensor) -> Tensor:
    """Return the area under each example's curve over the share of pixels, shape (N,)."""
    n_pixels = inputs[0, 0].numel()
    shares = pixel_counts(n_pixels, curve.shape[1] - 1).to(curve) / n_pixels
    return torch.trapezoid(curve, shares, dim=1)


def pixel_counts(n_pixels: int, n_steps: int) -> Tensor:
    """Return the number of pixels exchanged after each of the steps 0 to n_steps."""
    check_int("n_steps", n_steps, 1)
    steps = torch.arange(n_steps + 1, device="cpu")
    # Rounded half up.
    return (2 * n_pixels * steps + n_steps) // (2 * n_steps)
