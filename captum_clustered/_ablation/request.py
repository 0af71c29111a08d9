"""What both engines, the single pass and the replay, take and give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from captum_clustered._ablation.hooks import Tensors, layer_name
from captum_clustered._ablation.plan import Ablation


@dataclass(frozen=True)
class Task:
    """
    Attributes:

        score (Callable): Runs the model on the whole batch; returns one score for each
                    of the N examples, shape (N,), at least float32.
        layer (Module): The layer to ablate, at its last call in a forward pass.
        at_input (bool): Whether its input is meant instead of its output.
        plan (Callable): Decides from the layer's tensors what is to be evaluated.
        n_rows (int): The number of evaluations to expect, before the plan is known.
        perturbations_per_eval (int or None): Evaluations in one forward pass.
        forward_func (Callable): The user's function, for messages.
        progress (Callable): Called as progress(done, total).
    """

    score: Callable[[], Tensor]
    layer: Module
    at_input: bool
    plan: Callable[[Tensors], Ablation]
    n_rows: int
    perturbations_per_eval: int | None
    forward_func: Callable[..., Any]
    progress: Callable[[int, int], None]

    def not_reached(self) -> ValueError:
        """The error for a layer that the forward pass does not call."""
        return not_reached(self.forward_func, self.layer)


def not_reached(forward_func: Callable[..., Any], layer: Module) -> ValueError:
    """The error for a layer that the forward pass does not call."""
    return ValueError(
        f"layer {layer_name(forward_func, layer)} was not reached: forward_func did not call it "
        "on these inputs, or not in this thread."
    )


class PlanError(Exception):
    """
    The plan itself failed, so no other way of running the model would help.

    Attributes:

        cause (Exception): The clusterer's exception, or that of a check.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(frozen=True)
class Evaluation:
    """
    Attributes:

        ablation (Ablation): What was evaluated.
        scores (Tensor): The scores of its rows, shape (M, N).
    """

    ablation: Ablation
    scores: Tensor


def per_example(output: Any, n_examples: int) -> Tensor:
    """
    The selected output as one score for each example.

    Raises:

        TypeError: If it is no tensor of real numbers.
        ValueError: If it is not of shape (N,), (N, 1) or, with one example, a scalar.
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
    return output.reshape(n_examples).to(torch.promote_types(output.dtype, torch.float32))
