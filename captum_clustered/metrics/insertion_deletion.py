"""Insertion and deletion: the class probability while pixels are exchanged in the map's order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.metrics._confidence import confidence_of_variants
from captum_clustered.metrics._masking import Filling, explanation_mask, fill, pixel_ranks


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


def insertion_curve(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    filling: Filling = "blur",
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    The class probability while the most important pixels come first into the picture.

    Point i of the curve is the probability of the target on the filling, with the
    input's own pixels at those ``i / n_steps`` of the places (rounded to whole pixels,
    half up) where the map is largest: Petsiuk et al., "RISE", BMVC 2018. The
    map is ReLU'd and interpolated to the input as in :func:`average_drop`.

    In [0, 1]; the earlier it rises, the better. For what games it see :func:`insertion`.

    Args:

        forward_func (Callable): Returns probabilities, as in :func:`average_drop`.
        inputs (Tensor): Shape (N, channels, \*spatial) with one to three spatial
                    dimensions.
        attributions (Tensor): Shape (N, c, \*spatial) of any size. Only the order of its
                    pixels counts. Equal ones are taken in reading order, so that a
                    constant map uncovers the image from the top.
        target (int, tuple, Tensor or list, optional): As in Captum.
                    Default: None
        additional_forward_args (Any, optional): As in Captum; tensors with N entries are
                    repeated along with the examples.
                    Default: None
        filling (float, str or Tensor, optional): What stands where nothing is inserted
                    yet, as in :func:`average_drop`.
                    Default: "blur"
        n_steps (int, optional): The number of steps, each of them a forward pass of every
                    example, plus one for the start.
                    Default: 20
        max_examples_per_batch (int, optional): The largest number of perturbed inputs in
                    one forward pass; bounds the memory. It may be smaller than N.
                    Default: None (all N * (n_steps + 1) at once)

    Returns:
        Tensor: Shape (N, n_steps + 1), from the filling alone to the input itself.

    Raises:

        TypeError: If inputs or attributions are no tensor, inputs are no floating-point
                    numbers, or filling is of no accepted kind.
        ValueError: If forward_func returns no probabilities, if the shapes do not go
                    together, if attributions are not finite, or if target, filling,
                    n_steps or max_examples_per_batch is not one of the accepted values.

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> curve = insertion_curve(scores.probability(net), input, attr, target=1)
        >>> curve.shape
        torch.Size([2, 21])
    """
    with torch.no_grad():
        return perturbation_curve(
            forward_func,
            inputs,
            attributions,
            target,
            additional_forward_args,
            inserting=True,
            filling=filling,
            n_steps=n_steps,
            max_examples_per_batch=max_examples_per_batch,
        )


def insertion(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    filling: Filling = "blur",
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    Area under the :func:`insertion_curve` over the share of pixels, by trapezoids.

    In [0, 1]; higher is better. Only the order of the pixels counts, so keeping
    everything earns nothing. A network that recognizes the class in the blurred image
    already makes every map look good, and so does an image with the object in the middle
    a Gaussian there. Without a blur, the sharp edges of what is inserted are seen by the
    network too. Read it next to :func:`deletion`, or as :func:`insertion_minus_deletion`.

    Args:

        forward_func, inputs, attributions, target, additional_forward_args, filling,
                    n_steps, max_examples_per_batch: As in :func:`insertion_curve`.

    Returns:
        Tensor: Area of each example, shape (N,).

    Raises:

        TypeError, ValueError: As :func:`insertion_curve`.

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> insertion(scores.probability(net), input, attr, target=1).shape
        torch.Size([2])
    """
    curve = insertion_curve(
        forward_func,
        inputs,
        attributions,
        target,
        additional_forward_args,
        filling=filling,
        n_steps=n_steps,
        max_examples_per_batch=max_examples_per_batch,
    )
    return area_under(curve, inputs)


def insertion_minus_deletion(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    filling: Filling = "blur",
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    :func:`insertion` minus :func:`deletion`, both with the same filling.

    In [-1, 1]; higher is better, and a random order is 0 in expectation: with one filling
    both curves run between the same two pictures, so what the network makes of the
    filling cancels, as it does not between the customary insertion from a blur and
    deletion to zero. It sees the order alone, and a Gaussian in the middle does well on
    images with an object there.

    Args:

        forward_func, inputs, attributions, target, additional_forward_args, filling,
                    n_steps, max_examples_per_batch: As in :func:`insertion_curve`.

    Returns:
        Tensor: Difference of each example, shape (N,).

    Raises:

        TypeError, ValueError: As :func:`insertion_curve`.

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> insertion_minus_deletion(scores.probability(net), input, attr, target=1).shape
        torch.Size([2])
    """
    inserted, deleted = (
        area(
            forward_func,
            inputs,
            attributions,
            target,
            additional_forward_args,
            filling=filling,
            n_steps=n_steps,
            max_examples_per_batch=max_examples_per_batch,
        )
        for area in (insertion, deletion)
    )
    return inserted - deleted


def deletion_curve(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    filling: Filling = 0.0,
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    The class probability while the most important pixels are the first to go.

    Point i of the curve is the probability of the target on the input, with the filling
    at those ``i / n_steps`` of the places (rounded to whole pixels, half up) where the
    map is largest: Petsiuk et al., "RISE", BMVC 2018. The map is ReLU'd and
    interpolated to the input as in :func:`average_drop`.

    In [0, 1]; the earlier it falls, the better. For what games it see :func:`deletion`.

    Args:

        forward_func, inputs, attributions, target, additional_forward_args, n_steps,
                    max_examples_per_batch: As in :func:`insertion_curve`.
        filling (float, str or Tensor, optional): What takes the place of a deleted
                    pixel, as in :func:`average_drop`.
                    Default: 0.0

    Returns:
        Tensor: Shape (N, n_steps + 1), from the input itself to the filling alone.

    Raises:

        TypeError, ValueError: As :func:`insertion_curve`.

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> curve = deletion_curve(scores.probability(net), input, attr, target=1, n_steps=10)
        >>> curve.shape
        torch.Size([2, 11])
    """
    with torch.no_grad():
        return perturbation_curve(
            forward_func,
            inputs,
            attributions,
            target,
            additional_forward_args,
            inserting=False,
            filling=filling,
            n_steps=n_steps,
            max_examples_per_batch=max_examples_per_batch,
        )


def deletion(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    filling: Filling = 0.0,
    n_steps: int = 20,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    Area under the :func:`deletion_curve` over the share of pixels, by trapezoids.

    In [0, 1]; lower is better. Only the order of the pixels counts. Any pixels whose
    removal leaves nothing like a picture win, whether or not they show the class:
    scattered ones more than a region, as in adversarial perturbations. Where the filling
    looks natural, as black does in ultrasound, it measures something else than where it
    does not: compare with ``filling="blur"``.

    Args:

        forward_func, inputs, attributions, target, additional_forward_args, filling,
                    n_steps, max_examples_per_batch: As in :func:`deletion_curve`.

    Returns:
        Tensor: Area of each example, shape (N,).

    Raises:

        TypeError, ValueError: As :func:`insertion_curve`.

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> deletion(scores.probability(net), input, attr, target=1).shape
        torch.Size([2])
    """
    curve = deletion_curve(
        forward_func,
        inputs,
        attributions,
        target,
        additional_forward_args,
        filling=filling,
        n_steps=n_steps,
        max_examples_per_batch=max_examples_per_batch,
    )
    return area_under(curve, inputs)
