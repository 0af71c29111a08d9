"""What the engines ``vmap_pass`` and ``loop`` take and return; the model's inputs and scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from captum._utils.common import _run_forward, _select_targets
from captum._utils.typing import TargetType
from torch import Tensor
from torch.nn import Module

from captum_clustered._ablation.hooks import Tensors
from captum_clustered._ablation.layer_checks import check_finite
from captum_clustered._ablation.plan import AblationPlan
from captum_clustered._ablation.planner import AblationPlanner
from captum_clustered._ablation.single_pass.lazy_base import materialize
from captum_clustered._ablation.single_pass.lazy_linear import LinearOfAblated, final
from captum_clustered._clustering.features import at_least_float32
from captum_clustered._subclasses import plain


@dataclass(frozen=True)
class AblationRequest:
    """
    The layer and the model that an engine evaluates.

    Attributes:

        run (Callable): Runs the model on the whole batch; returns the score of each example,
                    shape (N,), at least float32. Takes a context in which the score is computed;
                    by default none.
        layer (Module): The layer to ablate, at its last call in a forward pass.
        attribute_to_layer_input (bool): Whether to ablate its input instead of its output.
        planner (AblationPlanner): Chooses the evaluations from the layer's tensors.
        perturbations_per_eval (int or None): Evaluations in one forward pass; None means all.
        progress (Callable): Takes the number of evaluations that are done, and of all.
        n_calls (int or None): How often a forward pass called the layer, if known.
    """

    run: Callable[..., Tensor]
    layer: Module
    attribute_to_layer_input: bool
    planner: AblationPlanner
    perturbations_per_eval: int | None
    progress: Callable[[int, int], None]
    n_calls: int | None = None


@dataclass(frozen=True)
class AblationScores:
    """
    The scores of all evaluations.

    Attributes:

        plan (AblationPlan): The evaluations.
        scores (Tensor): Shape (M, N).
        n_calls (int or None): How often a forward pass calls the layer, if known.
    """

    plan: AblationPlan
    scores: Tensor
    n_calls: int | None = None

    def check_finite(self) -> None:
        """Raise ValueError if the layer, a baseline or a score is not finite."""
        check_finite(self.plan.values, self.plan.layer_name)
        if not all(torch.isfinite(baseline).all() for baseline in self.plan.baselines):
            raise ValueError("layer_baselines must be finite; got NaN or infinite values.")
        if not torch.isfinite(self.scores).all():
            raise ValueError(
                "forward_func returned NaN or an infinite score for these inputs or for an "
                f"ablation of layer {self.plan.layer_name}."
            )


class PlanError(Exception):
    """No plan could be made, because of ``cause``; the other engine would fail, too."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def target_scores(
    forward_func: Callable[..., Any],
    inputs: Tensors,
    target: TargetType,
    additional_forward_args: object,
) -> Tensor:
    """Run the model; return the score of each example's target, shape (N,)."""
    output = _run_forward(forward_func, inputs, None, additional_forward_args)
    if not isinstance(output, Tensor):
        raise TypeError(
            f"forward_func must return a tensor; got {type(output).__name__}. Wrap the model "
            "in a function that returns the scores."
        )
    output = final(output) if isinstance(output, LinearOfAblated) else plain(materialize(output))
    try:
        selected = _select_targets(output, target)
    except torch.cuda.OutOfMemoryError:
        raise
    except (AssertionError, IndexError, RuntimeError) as error:
        raise ValueError(
            f"target={target!r} does not fit the output of forward_func, of shape "
            f"{tuple(output.shape)}: {error}"
        ) from error
    return per_example(materialize(selected), len(inputs[0]))


def format_inputs(inputs: Any) -> Tensors:
    """Return inputs as a tuple of tensors; raise if one is not a tensor or there is no example."""
    formatted = inputs if isinstance(inputs, tuple) else (inputs,)
    for tensor in formatted:
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"inputs must be a Tensor or a tuple of Tensors; got {type(tensor).__name__}."
            )
    if not formatted or formatted[0].dim() == 0 or len(formatted[0]) == 0:
        raise ValueError("inputs must hold at least one example, in dimension 0; got none.")
    return formatted


def per_example(output: Any, n_examples: int) -> Tensor:
    """
    Return the output for the target as scores (N,), at least float32.

    It must have one element per example and begin with N, or be a scalar for one example.
    """
    if not isinstance(output, Tensor) or output.is_complex():
        given = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise TypeError(f"forward_func must return a tensor of real numbers; got {given}.")
    shape = tuple(output.shape)
    is_scalar = not shape and n_examples == 1
    if not is_scalar and (output.numel() != n_examples or shape[:1] != (n_examples,)):
        raise ValueError(
            "forward_func, after selecting target, must return one score for each of the "
            f"{n_examples} examples in inputs, shape ({n_examples},); got shape {shape}. Is "
            "target missing, or does forward_func reduce over the batch?"
        )
    return at_least_float32(output.reshape(n_examples))
