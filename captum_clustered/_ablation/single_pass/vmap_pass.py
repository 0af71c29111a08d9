"""The fast engine: all ablations of a layer in one forward pass of the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch._C import _len_torch_dispatch_stack
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from captum_clustered._ablation.hooks import LayerTensors, Tensors, edit_layer, not_reached
from captum_clustered._ablation.memory_cap import (
    PassEnds,
    SizeLimit,
    TooManyEvaluations,
    chunk_size,
    max_elements,
    tail_chunk_size,
    tail_limit,
)
from captum_clustered._ablation.model_state.torch_settings import quiet_fallback
from captum_clustered._ablation.plan import AblationPlan
from captum_clustered._ablation.request import AblationRequest, AblationScores, PlanError
from captum_clustered._ablation.single_pass.lazy_base import (
    CannotBeLazyError,
    LazyTensor,
    materialize,
)
from captum_clustered._ablation.single_pass.output_watch import CountCallsFirst, OutputWatch
from captum_clustered._ablation.single_pass.tail_help import TailHelp, n_modes
from captum_clustered._ablation.single_pass.tail_memory import TailMemory
from captum_clustered._ablation.single_pass.vmap_gaps import AutocastHelp, plain_autograd_functions
from captum_clustered._ablation.single_pass.vmap_in_place import InPlaceHelp


@dataclass(frozen=True)
class Attempt:
    """
    One way to run all evaluations.

    Attributes:

        lazy (bool): Whether ablated tensors are computed only when the model needs them, see
                    :mod:`lazy_tensor <captum_clustered._ablation.single_pass.lazy_tensor>`.
        n_calls (int): Number of the layer's calls in a forward pass; the last one is ablated.
        is_counted (bool): Whether these calls were counted, not guessed.
        chunk (int or None): Evaluations in one forward pass; None means all.
        plan (AblationPlan or None): The evaluations, if an earlier attempt has planned them.
        autocast (bool): Whether to help vmap under autocast.
        measures_tail (bool): Whether the first pass has one evaluation, which shows how many
                    at once need little memory behind the layer.
    """

    lazy: bool
    n_calls: int
    chunk: int | None
    plan: AblationPlan | None = None
    autocast: bool = False
    is_counted: bool = False
    measures_tail: bool = False


def vmap_pass(request: AblationRequest) -> AblationScores:
    """
    Evaluate a request in one forward pass, if possible.

    The model runs under :func:`torch.func.vmap` over the evaluations. The part in front of the
    layer does not depend on the evaluation, so vmap computes it once, on ordinary tensors. The
    layer's hook clusters these and returns the ablated tensors; the rest runs as one batch.

    The first attempt uses lazy tensors. If the model does not support them, or needs their
    values when these exceed the memory cap, the next attempt uses plain tensors, in chunks that
    respect the cap. The next attempt has chunks, too, if what follows the layer needs much more
    memory than the layer. If the layer is called several times, one more attempt ablates its last
    call. If it may be called again after much was computed for each ablation, a plain pass
    counts its calls first.

    Raises:

        PlanError: If the plan fails or the layer is not reached.
        Exception: Whatever the model raises under vmap, even if it runs without vmap.
    """
    outcome: Attempt | AblationScores
    device = next(iter(request.layer.parameters()), torch.empty(0)).device.type
    autocast = torch.is_autocast_enabled(device)
    outcome = Attempt(lazy=True, n_calls=request.n_calls or 1, chunk=None, autocast=autocast)
    while isinstance(outcome, Attempt):
        outcome = _run(request, outcome)
    return outcome


def _run(request: AblationRequest, attempt: Attempt) -> AblationScores | Attempt:
    """Return the scores or, if the attempt fails, the next attempt to make."""
    plan = attempt.plan
    total = request.planner.expected_evaluations if plan is None else plan.n_evaluations
    chunk = attempt.chunk
    scores: list[Tensor] = []
    done = 0
    while plan is None or done < total:
        is_measuring = attempt.measures_tail and not scores
        stop = min(total, done + (1 if is_measuring else chunk or total))
        run = _Pass(request, attempt, plan, done, stop)
        try:
            found = run.scores()
        except (torch.cuda.OutOfMemoryError, MemoryError):
            raise
        except (PassEnds, Exception) as error:
            following = _after_error(request, attempt, run, error)
            if following is None:
                raise
            return following
        if run.calls == 0 and plan is None:
            raise PlanError(not_reached(request.planner.layer_name))
        if run.calls != attempt.n_calls:
            if run.calls == 0 or attempt.is_counted or scores:
                raise _changed_calls()
            return _counted(attempt, run.calls)
        if run.error is not None:
            raise PlanError(run.error)
        assert run.plan is not None  # noqa: S101 - the layer was called and planned
        plan, total = run.plan, run.plan.n_evaluations
        scores.append(found[: total - done])
        done = min(stop, total)
        request.progress(done, total)
        if is_measuring:
            chunk = min(chunk or total, tail_chunk_size(plan.n_bytes, run.tail_bytes))
    return AblationScores(plan, torch.cat(scores), attempt.n_calls)


def _after_error(
    request: AblationRequest, attempt: Attempt, run: _Pass, error: BaseException
) -> Attempt | None:
    """Return the next attempt after one that failed, or None."""
    if isinstance(error, CountCallsFirst):
        return _counted(attempt, _count_calls(request))
    if isinstance(error, TooManyEvaluations):
        is_known = error.chunk is not None
        return replace(
            attempt,
            chunk=error.chunk if is_known else attempt.chunk,
            plan=run.plan,
            measures_tail=not is_known,
        )
    if run.needs_autocast or (run.autocast and not attempt.autocast):
        return replace(attempt, autocast=True)
    if run.plan is None or not attempt.lazy:
        return None
    chunk = chunk_size(request.perturbations_per_eval, run.plan.n_elements)
    return replace(attempt, lazy=False, chunk=min(chunk, attempt.chunk or chunk), plan=run.plan)


def _counted(attempt: Attempt, n_calls: int) -> Attempt:
    # Not the plan of another call, whose tensors differ.
    return replace(
        attempt, n_calls=n_calls, is_counted=True, chunk=None, plan=None, measures_tail=False
    )


def _count_calls(request: AblationRequest) -> int:
    """Return how often a plain pass calls the layer."""
    calls: list[Tensors] = []
    with edit_layer(request.layer, request.attribute_to_layer_input, calls.append):
        request.run()
    return len(calls)


def _changed_calls() -> RuntimeError:
    return RuntimeError("The number of the layer's calls changed between passes.")


@dataclass
class _Pass:
    """
    One forward pass with the evaluations start..stop-1.

    Attributes:

        request, attempt: What is evaluated, and in which way.
        plan (AblationPlan or None): The evaluations; planned in the layer's hook if not given.
        calls (int): Number of the layer's calls.
        error (Exception or None): The reason why there is no plan.
        autocast (bool): Whether the layer is in an autocast region.
    """

    request: AblationRequest
    attempt: Attempt
    plan: AblationPlan | None
    start: int
    stop: int
    calls: int = 0
    error: Exception | None = None
    autocast: bool = False

    def __post_init__(self) -> None:
        self._index = torch.tensor(0, device="cpu")
        # What acts on the model's operations, and not on what restores its state.
        self._until_output = ExitStack()
        request, layer = self.request, self.request.layer
        # Models share activations and other layers without parameters among many places.
        self._may_be_called_again = not (
            self.attempt.is_counted
            or request.n_calls is not None
            or any(True for _ in layer.parameters())
        )
        self._tail, self._is_watched = TailMemory(), False
        self._tail_help: TailHelp | None = None

    @property
    def tail_bytes(self) -> int:
        """The most memory that tensors behind the layer needed at once."""
        return self._tail.peak

    @property
    def needs_autocast(self) -> bool:
        """Whether a convolution behind the layer was in an autocast region, without help."""
        is_seen = self._tail_help is not None and self._tail_help.is_autocast
        return is_seen and not self.attempt.autocast

    def scores(self) -> Tensor:
        """Return scores of shape (stop - start, N)."""

        def score(index: Tensor) -> Tensor:
            self._index = index
            return materialize(self.request.run(self._helped()))

        indices = torch.arange(self.stop - self.start, device="cpu")
        hook = edit_layer(self.request.layer, self.request.attribute_to_layer_input, self._edit)
        with (
            hook,
            quiet_fallback(),
            plain_autograd_functions(),
            ExitStack() as until_end,
        ):
            self._n_dispatch_modes = _len_torch_dispatch_stack()
            if self._may_be_called_again and self.stop - self.start > 1:
                OutputWatch(self.stop - self.start).start(until_end)
            scores: Tensor = torch.func.vmap(score, randomness="same")(indices)
        if self.needs_autocast:
            raise CannotBeLazyError("A convolution behind the layer is in an autocast region.")
        return scores

    @contextmanager
    def _helped(self) -> Iterator[None]:
        """Help vmap up to the model's output; a lazy pass is helped from the layer on."""
        with self._until_output as until:
            if not self.attempt.lazy:
                if self.attempt.autocast:
                    until.enter_context(AutocastHelp())
                until.enter_context(InPlaceHelp(self._index))
            self._n_modes = n_modes()
            yield

    def _edit(self, tensors: LayerTensors) -> Tensors | None:
        """Ablate the layer's tensors for the current index of vmap."""
        self.calls += 1
        self.autocast |= any(torch.is_autocast_enabled(t.device.type) for t in tensors)
        if self.calls != self.attempt.n_calls:
            return None
        if self.plan is None:
            try:
                # Copies, because the rest of the model may write into the tensors.
                copies = tuple(tensor.clone() for tensor in tensors)
                with _without_vmap(tensors):
                    self.plan = self.request.planner.plan(copies, tensors.places)
            except Exception as error:  # noqa: BLE001
                # Not raised here: this may turn out not to be the layer's last call.
                self.error = error
                return None
        index = self._index.reshape(1).to(tensors[0].device, non_blocking=True)
        ablations = self.plan.ablations(self.start, self.stop, index)
        n_evaluations = self.stop - self.start
        at_once = self.request.perturbations_per_eval
        if self.attempt.lazy:
            # In a mode of the model, which ends before its output, the help below does not start.
            if self.attempt.autocast and n_modes() == self._n_modes:
                self._until_output.enter_context(AutocastHelp())
                self._n_modes += 1
            # A lazy convolution relies on the help, which watches how the model uses its layout.
            self._tail_help = TailHelp()
            if not self._tail_help.start(self._until_output, self._n_modes):
                raise CannotBeLazyError("The model is in a mode of torch around the layer.")
            most = max_elements(at_once, self.plan.n_elements) // n_evaluations
            ablated = self.plan.lazily_ablated(ablations, SizeLimit(most, self._watch_tail))
            # Behind a last layer, often nothing is computed that needs to be watched.
            if not all(isinstance(tensor, LazyTensor) for tensor in ablated):
                self._watch_tail()
            return ablated
        self._watch_tail()
        chunk = chunk_size(at_once, self.plan.n_elements)
        if n_evaluations > chunk:
            raise TooManyEvaluations(chunk)
        return self.plan.ablated(ablations)

    def _watch_tail(self) -> None:
        """Bound or measure what follows, unless the user has chosen the number of evaluations."""
        n_evaluations, plan = self.stop - self.start, self.plan
        if self._is_watched or plan is None or self.request.perturbations_per_eval is not None:
            return
        self._is_watched = True
        if not self.attempt.measures_tail:
            self._tail.limit = tail_limit(plan.n_bytes, n_evaluations)
        # The model leaves modes of its own earlier, and the last one that was entered.
        is_last = _len_torch_dispatch_stack() == self._n_dispatch_modes
        if is_last and (n_evaluations > 1 or self.attempt.measures_tail):
            self._until_output.enter_context(self._tail)


def _without_vmap(tensors: Tensors) -> AbstractContextManager[object]:
    """Save the time that vmap adds to each operation, unless the tensors are its own."""
    wrapped = map(torch._C._functorch.is_functorch_wrapped_tensor, tensors)
    return nullcontext() if any(wrapped) else temporarily_clear_interpreter_stack()
