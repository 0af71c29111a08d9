"""The probability of the target on inputs and on perturbed inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.common import _format_additional_forward_args, _run_forward, _select_targets
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered._ablation.request import per_example
from captum_clustered._argument_checks import is_int
from captum_clustered.metrics._masking import Baseline, explanation_mask, hard_mask, masked_inputs


def confidence(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
) -> Tensor:
    """Return the target's probability on each example, shape (N,), at least float32."""
    _check_target(target, len(inputs))
    # A copy: a forward_func that works in place must not change the caller's inputs.
    output = _run_forward(forward_func, inputs.clone(), None, additional_forward_args)
    _check_probabilities(output)
    _check_class(target, output)
    return per_example(_select_targets(output, target), len(inputs)).clamp(max=1)


def confidence_of_variants(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    target: TargetType,
    additional_forward_args: Any,
    variant: Callable[[Tensor, Tensor], Tensor],
    n_variants: int,
    max_examples_per_batch: int | None = None,
) -> Tensor:
    """
    Return the target's probability on several variants of each example, shape (N, V).

    ``variant(examples, variants)`` gets two LongTensors of shape (R,) and returns R inputs,
    that variant of that example. R is at most max_examples_per_batch. Target and
    additional_forward_args are repeated for the variants.
    """
    limit = max_examples_per_batch
    if limit is not None and not (is_int(limit) and limit >= 1):
        raise ValueError(f"max_examples_per_batch={limit!r} must be None or an int of at least 1.")
    n_examples = len(inputs)
    _check_target(target, n_examples)
    arguments = _format_additional_forward_args(additional_forward_args) or ()
    found = []
    indices = torch.arange(n_examples * n_variants, device=inputs.device)
    for chunk in indices.split(limit or len(indices)):
        examples = chunk // n_variants
        perturbed = variant(examples, chunk % n_variants)
        repeated = tuple(_argument_of(each, examples, n_examples) for each in arguments)
        found.append(confidence(forward_func, perturbed, _target_of(target, examples), repeated))
    return torch.cat(found).view(n_examples, n_variants)


@torch.no_grad()
def masked_confidence(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType,
    additional_forward_args: Any,
    baseline: Baseline,
    top_fraction: float | None,
) -> tuple[Tensor, Tensor]:
    """Return the target's probability on the inputs and on the masked inputs, each (N,)."""
    mask = explanation_mask(attributions, inputs)
    if top_fraction is not None:
        mask = hard_mask(mask, top_fraction)
    masked = masked_inputs(inputs, mask, baseline)
    before = confidence(forward_func, inputs, target, additional_forward_args)
    return before, confidence(forward_func, masked, target, additional_forward_args)


def _check_probabilities(output: Any) -> None:
    # All classes are checked: the target's logit alone could lie in [0, 1] by chance.
    hint = "Wrap a network that returns logits in captum_clustered.scores.probability."
    if not isinstance(output, Tensor) or output.is_complex() or not output.numel():
        found = (
            f"{output.dtype} of shape {tuple(output.shape)}"
            if isinstance(output, Tensor)
            else type(output).__name__
        )
        raise ValueError(f"forward_func must return probabilities; got {found}. {hint}")
    low, high = float(output.min()), float(output.max())
    # Half precision may round a probability up by 1e-3. Comparisons with NaN are false.
    if not (low >= 0 and high <= 1 + 1e-3):
        raise ValueError(
            "forward_func must return probabilities in [0, 1]; got values from "
            f"{low:.3g} to {high:.3g}. {hint}"
        )


def _check_target(target: TargetType, n_examples: int) -> None:
    if _is_per_example(target) and len(target) != n_examples:
        raise ValueError(
            f"target has {len(target)} entries, but inputs has {n_examples} examples: give one "
            "for each, or an int or tuple for all."
        )


def _check_class(target: TargetType, output: Tensor) -> None:
    # Captum or the GPU would notice a missing class without naming target.
    if output.dim() != 2 or target is None:
        return
    if isinstance(target, Tensor):
        classes = target.flatten().tolist()
    else:
        classes = target if isinstance(target, list) else [target]
    n_classes = output.shape[1]
    bad = [i for i in classes if isinstance(i, int) and not -n_classes <= i < n_classes]
    if bad:
        raise ValueError(
            f"target must be a class from 0 to {n_classes - 1}, as forward_func returns "
            f"{n_classes} classes; got {bad[0]}."
        )


def _is_per_example(target: TargetType) -> bool:
    return isinstance(target, list) or (isinstance(target, Tensor) and target.numel() > 1)


def _target_of(target: TargetType, examples: Tensor) -> TargetType:
    if isinstance(target, list):
        return [target[example] for example in examples.tolist()]
    if isinstance(target, Tensor) and _is_per_example(target):
        return target[examples.to(target.device)]
    return target


def _argument_of(argument: Any, examples: Tensor, n_examples: int) -> Any:
    if isinstance(argument, Tensor) and argument.dim() and len(argument) == n_examples:
        return argument[examples.to(argument.device)]
    return argument
