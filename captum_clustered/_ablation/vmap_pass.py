"""The fast engine: all ablations of a layer in one forward pass of the model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from captum_clustered._ablation.hooks import Tensors, edit_layer, not_reached
from captum_clustered._ablation.lazy_tensor import CannotBeLazyError, materialize
from captum_clustered._ablation.memory_cap import SizeLimit, chunk_size, max_elements
from captum_clustered._ablation.plan import AblationPlan
from captum_clustered._ablation.request import (
    AblationRequest,
    AblationScores,
    PlanError,
)
from captum_clustered._ablation.torch_settings import quiet_fallback


@dataclass(frozen=True)
class Attempt:
    """
    One way to run all evaluations.

    Attributes:

        lazy (bool): Whether ablated tensors are computed only when the model needs them, see
                    :mod:`lazy_tensor <captum_clustered._ablation.lazy_tensor>`.
        n_calls (int): How often a forward pass calls the layer; its last call is ablated.
        chunk (int or None): Evaluations in one forward pass; None means all. Lazy tensors need
                    no chunks, as long as what they compute is small enough.
        plan (AblationPlan or None): What to evaluate, if an earlier attempt found it out.
    """

    lazy: bool
    n_calls: int
    chunk: int | None
    plan: AblationPlan | None = None


def vmap_pass(request: AblationRequest) -> AblationScores:
    """
    Evaluate a request in one forward pass, if possible.

    The model runs under :func:`torch.func.vmap` over the evaluations. Nothing in front of the
    layer depends on the evaluation, so vmap computes it once, on ordinary tensors. The layer's
    hook clusters these and returns the ablated tensors; what follows runs as one batch.

    The first attempt uses lazy tensors. The next one uses plain tensors, if the model does not
    take lazy ones, or if these must be computed when they are too large: larger together than
    ``perturbations_per_eval`` ablated layers or the default memory cap. It runs in chunks of
    that size. If the layer is called several times, one more attempt ablates its last call.

    Raises:

        PlanError: If the plan fails or the layer is not reached.
        Exception: Whatever the model raises under vmap. :func:`per_ablation_loop` shows whether
                    the model or vmap is at fault.
    """
    outcome: Attempt | AblationScores
    outcome = Attempt(lazy=True, n_calls=1, chunk=None)
    while isinstance(outcome, Attempt):
        outcome = _run(request, outcome)
    return outcome


def _run(request: AblationRequest, attempt: Attempt) -> AblationScores | Attempt:
    """Return the scores or, if the attempt fails, the next attempt to make."""
    plan = attempt.plan
    total = request.planner.expected_evaluations if plan is None else plan.n_evaluations
    scores: list[Tensor] = []
    done = 0
    while plan is None or done < total:
        stop = min(total, done + (attempt.chunk or total))
        run = _Pass(request, attempt, plan, done, stop)
        try:
            found = run.scores()
        except (torch.cuda.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:
            is_mendable = attempt.lazy or isinstance(error, _TooManyEvaluationsError)
            if run.plan is None or not is_mendable:
                raise
            chunk = chunk_size(request.perturbations_per_eval, run.plan.n_elements)
            return Attempt(lazy=False, n_calls=attempt.n_calls, chunk=chunk, plan=run.plan)
        if run.calls == 0 and plan is None:
            raise PlanError(not_reached(request.planner.layer_name))
        if run.calls != attempt.n_calls:
            if run.calls == 0 or attempt.n_calls > 1 or scores:
                raise RuntimeError("The number of the layer's calls changed between passes.")
            return Attempt(attempt.lazy, n_calls=run.calls, chunk=None)
        if run.error is not None:
            raise PlanError(run.error)
        assert run.plan is not None  # noqa: S101 - the layer was called and planned
        plan, total = run.plan, run.plan.n_evaluations
        scores.append(found[: total - done])
        done = min(stop, total)
        request.progress(done, total)
    return AblationScores(plan, torch.cat(scores))


class _TooManyEvaluationsError(RuntimeError):
    """All evaluations in one pass would take too much memory."""


class _Pass:
    """
    One forward pass with the evaluations start..stop-1.

    Attributes:

        plan (AblationPlan or None): What to evaluate; made by the layer's hook if not given.
        calls (int): How often the layer was called.
        error (Exception or None): Why no plan could be made.
    """

    def __init__(
        self,
        request: AblationRequest,
        attempt: Attempt,
        plan: AblationPlan | None,
        start: int,
        stop: int,
    ) -> None:
        self.plan = plan
        self.calls = 0
        self.error: Exception | None = None
        self._request, self._attempt = request, attempt
        self._start, self._stop = start, stop
        self._index = torch.tensor(0, device="cpu")
        self._limit = SizeLimit(0)

    def scores(self) -> Tensor:
        """Return scores of shape (stop - start, N)."""

        def score(index: Tensor) -> Tensor:
            self._index = index
            scores = materialize(self._request.run())
            if scores.is_meta:
                # The stand-in of a lazy tensor reached code that does not know it.
                raise RuntimeError("The model took a tensor without values for its result.")
            return scores

        request = self._request
        indices = torch.arange(self._stop - self._start, device="cpu")
        with (
            edit_layer(request.layer, request.attribute_to_layer_input, self._edit),
            quiet_fallback(),
        ):
            scores = torch.func.vmap(score, randomness="same")(indices)
        if self._limit.was_exceeded:
            raise CannotBeLazyError("The model caught the error of a tensor that is too large.")
        return scores

    def _edit(self, tensors: Tensors) -> Tensors | None:
        """Ablate the layer's tensors for the current index of vmap."""
        self.calls += 1
        if self.calls != self._attempt.n_calls:
            return None
        if self.plan is None:
            try:
                # Copies: in-place operations behind the layer must not reach the plan's.
                self.plan = self._request.planner.plan(tuple(t.clone() for t in tensors))
            except Exception as error:  # noqa: BLE001
                # Not raised here: this may turn out not to be the layer's last call.
                self.error = error
                return None
        index = self._index.reshape(1).to(tensors[0].device, non_blocking=True)
        masks = self.plan.channel_masks(self._start, self._stop)
        # Indices past the end (fewer clusters than expected) repeat the last evaluation.
        index = index.clamp(max=len(masks[0]) - 1)
        masks = tuple(mask.index_select(0, index)[0] for mask in masks)
        n_evaluations = self._stop - self._start
        at_once = self._request.perturbations_per_eval
        if self._attempt.lazy:
            self._limit = SizeLimit(max_elements(at_once, self.plan.n_elements) // n_evaluations)
            return self.plan.lazily_ablated(masks, self._limit)
        if n_evaluations > chunk_size(at_once, self.plan.n_elements):
            raise _TooManyEvaluationsError
        return self.plan.ablated(masks)
