"""All ablations of a layer in one forward pass of the model."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor

from captum_clustered._ablation.hooks import Tensors, tap
from captum_clustered._ablation.lazy_tensor import CannotDeferError, Limit, computed
from captum_clustered._ablation.plan import Ablation
from captum_clustered._ablation.request import Evaluation, PlanError, Task
from captum_clustered._ablation.torch_settings import quiet_fallback
from captum_clustered._ablation.trunk_cache import Skip, TrunkMemory, Watch

# The default bound on the elements of the ablated layer in one forward pass: 1 GiB in
# float32. What follows the layer is usually no wider than the layer.
MAX_ELEMENTS = 2**28


def single_pass(task: Task) -> Evaluation:
    """
    Evaluates a task with the trunk of the model run once, and what follows the layer as little
    as the model allows (see :mod:`deferred_ablation <captum_clustered._ablation.lazy_tensor>`).

    The model runs under :func:`torch.func.vmap` over the rows of the ablation. Nothing
    in front of the layer depends on the row, so vmap computes it once, on ordinary
    tensors; the layer's hook clusters them and returns the ablated tensors, and from
    there on all rows run as one batch.

    Further passes are needed only if the rows do not fit in one (see ``MAX_ELEMENTS`` and
    ``perturbations_per_eval``), if their number was not known before clustering, if the
    layer is called more than once, since its last call is the one that counts, or if the model
    takes nothing but plain tensors. All but the first of those that take the rows in parts leave
    the trunk out, if it allows that
    (see :class:`TrunkMemory <captum_clustered._ablation.trunk_cache.TrunkMemory>`).

    Raises:

        PlanError: If the plan fails or the layer is not reached.
        Exception: Whatever the model raises under vmap; :func:`replay` decides whether
                    that is the model's or vmap's fault.
    """
    passes = _Passes(task)
    while not passes.are_done:
        run = passes.next()
        try:
            scores = run.scores()
        except (torch.cuda.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:
            if not passes.can_go_on(run, error):
                raise
        else:
            passes.take(run, scores)
    return passes.evaluation()


class _Passes:
    """What is known of a task after the passes so far, and which one comes next."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._ablation: Ablation | None = None
        self._n_calls, self._n_rows = 1, task.n_rows
        self._chunk = task.perturbations_per_eval
        self._memory = TrunkMemory()
        self._defers = True
        self._scores: list[Tensor] = []
        self._done = 0

    @property
    def are_done(self) -> bool:
        return self._done >= self._n_rows

    def next(self) -> _Pass:
        stop = min(self._n_rows, self._done + (self._chunk or self._n_rows))
        trunk: Watch | Skip | None = None
        if self._memory.is_usable:
            trunk = Skip(self._memory)
        elif stop < self._n_rows:
            # Watching is of use only if there is a pass to come.
            trunk = Watch(self._memory)
        rows = (self._done, stop)
        return _Pass(self._task, self._defers, self._ablation, self._n_calls, rows, trunk)

    def can_go_on(self, run: _Pass, error: Exception) -> bool:
        """Prepares for another try, if there is something to do without."""
        if isinstance(run.trunk, Skip):
            # Something could not do without the trunk; or the tail fails, and again.
            self._memory = TrunkMemory()
            return True
        is_too_much = isinstance(error, _TooManyRowsError)
        if run.ablation is None or not (self._defers or is_too_much):
            return False
        self._defers, self._memory = False, TrunkMemory()
        self._ablation, self._n_rows = run.ablation, run.ablation.n_rows
        if self._task.perturbations_per_eval is None:
            self._chunk = run.ablation.rows_within(MAX_ELEMENTS)
        return True

    def take(self, run: _Pass, scores: Tensor) -> None:
        if run.calls not in (0, self._n_calls):
            if self._n_calls > 1:
                raise RuntimeError("The number of the layer's calls changed between passes.")
            # Start again, now with the last call known.
            self._n_calls, self._memory, self._ablation = run.calls, TrunkMemory(), None
            return
        if run.ablation is None:
            raise PlanError(run.error or self._task.not_reached())
        self._ablation, self._n_rows = run.ablation, run.ablation.n_rows
        start, stop = run.rows
        self._scores.append(scores[: self._n_rows - start])
        self._done = min(stop, self._n_rows)
        self._task.progress(self._done, self._n_rows)

    def evaluation(self) -> Evaluation:
        if self._ablation is None:
            raise PlanError(self._task.not_reached())
        return Evaluation(self._ablation, torch.cat(self._scores))


class _TooManyRowsError(RuntimeError):
    """All rows in one pass would take too much memory."""


class _Pass:
    """One forward pass with some rows of the ablation, from a first to behind a last one."""

    def __init__(
        self,
        task: Task,
        defers: bool,
        ablation: Ablation | None,
        call: int,
        rows: tuple[int, int],
        trunk: Watch | Skip | None,
    ) -> None:
        self._task = task
        self._defers = defers
        self.ablation = ablation
        self._call = call
        self.rows = rows
        self._n_rows = rows[1] - rows[0]
        self.trunk = trunk
        self._row = torch.tensor(0, device="cpu")
        is_bounded = task.perturbations_per_eval is not None
        self._limit = None if is_bounded else Limit(MAX_ELEMENTS // self._n_rows)
        self.calls = 0
        self.error: Exception | None = None

    def scores(self) -> Tensor:
        """Scores of shape (stop - start, N)."""

        def score(row: Tensor) -> Tensor:
            self._row = row
            with self.trunk or nullcontext():
                scores = computed(self._task.score())
            if scores.is_meta:
                # Something took the stand-in for the tensor.
                raise RuntimeError("The model took a tensor without values for its result.")
            return scores

        rows = torch.arange(self._n_rows, device="cpu")
        with tap(self._task.layer, self._task.at_input, self._edit), quiet_fallback():
            scores = torch.func.vmap(score, randomness="same")(rows)
        if self._limit is not None and self._limit.was_exceeded:
            raise CannotDeferError("The model caught the error of a tensor that is too large.")
        return scores

    def _edit(self, tensors: Tensors) -> Tensors | None:
        self.calls += 1
        if self.calls != self._call:
            return None
        if self.trunk is not None:
            self.trunk.reach_layer()
        if self.ablation is None:
            # In-place operations behind the layer must not reach what we keep.
            try:
                self.ablation = self._task.plan(tuple(tensor.clone() for tensor in tensors))
            except Exception as error:  # noqa: BLE001
                # Nothing is wrong if this turns out not to be the layer's last call.
                self.error = error
                return None
        row = self._row.reshape(1).to(tensors[0].device, non_blocking=True)
        keep = self.ablation.keep(*self.rows)
        # Rows past the end (fewer clusters than expected) repeat the last one.
        row = row.clamp(max=len(keep[0]) - 1)
        keep = tuple(mask.index_select(0, row)[0] for mask in keep)
        if self._defers:
            # What is ablated may be much smaller by the time it must be computed.
            return self.ablation.deferred(keep, self._limit)
        if self._limit is not None and self._n_rows > self.ablation.rows_within(MAX_ELEMENTS):
            raise _TooManyRowsError
        return self.ablation.replaced(keep)
