"""All ablations of a layer in one forward pass of the model."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor

from captum_clustered.ablation import Ablation
from captum_clustered.deferred_ablation import computed
from captum_clustered.evaluation import Evaluation, PlanError, Task
from captum_clustered.layer_tap import Tensors, tap
from captum_clustered.process_switches import quiet_fallback
from captum_clustered.trunk_memory import Skip, TrunkMemory, Watch

# The default bound on the elements of the ablated layer in one forward pass: 1 GiB in
# float32. What follows the layer is usually no wider than the layer.
MAX_ELEMENTS = 2**28


def single_pass(task: Task) -> Evaluation:
    """
    Evaluates a task with the trunk of the model run once, and what follows the layer as little
    as the model allows (see :mod:`deferred_ablation <captum_clustered.deferred_ablation>`).

    Raises:

        PlanError: If the plan fails or the layer is not reached.
        Exception: Whatever the model raises under vmap; :func:`replay` decides whether
                    that is the model's or vmap's fault.
    """
    try:
        return _passes(task, defers=True)
    except (PlanError, torch.cuda.OutOfMemoryError, MemoryError):
        raise
    except Exception:  # noqa: BLE001
        # There may be too much of it, or code that takes nothing but plain tensors.
        return _passes(task, defers=False)


def _passes(task: Task, defers: bool) -> Evaluation:
    """
    Evaluates a task in as many passes as it takes.

    The model runs under :func:`torch.func.vmap` over the rows of the ablation. Nothing
    in front of the layer depends on the row, so vmap computes it once, on ordinary
    tensors; the layer's hook clusters them and returns the ablated tensors, and from
    there on all rows run as one batch.

    Further passes are needed only if the rows do not fit in one (see ``MAX_ELEMENTS`` and
    ``perturbations_per_eval``), if their number was not known before clustering, or if
    the layer is called more than once, since its last call is the one that counts. All but
    the first of those that take the rows in parts leave the trunk out, if it allows that
    (see :class:`TrunkMemory <captum_clustered.trunk_memory.TrunkMemory>`).
    """
    ablation: Ablation | None = None
    scores: list[Tensor] = []
    n_calls, done, n_rows = 1, 0, task.n_rows
    chunk = task.perturbations_per_eval
    memory = TrunkMemory()
    while True:
        stop = min(n_rows, done + (chunk or n_rows))
        arguments = (task, defers, ablation, n_calls, done, stop)
        if memory.is_usable:
            run = _Pass(*arguments, Skip(memory))
            try:
                result = run.scores()
            except Exception:  # noqa: BLE001
                # Something could not do without the trunk; or the tail fails, and again below.
                memory = TrunkMemory()
                continue
        else:
            # Watching is of use only if there is a pass to come.
            run = _Pass(*arguments, Watch(memory) if stop < n_rows else None)
            result = run.scores()
        if run.calls not in (0, n_calls):
            if n_calls > 1:
                raise RuntimeError("The number of the layer's calls changed between passes.")
            # Start again, now with the last call known.
            n_calls, memory = run.calls, TrunkMemory()
            continue
        if run.ablation is None:
            raise PlanError(run.error or task.not_reached())
        ablation, n_rows, chunk = run.ablation, run.ablation.n_rows, run.capacity
        if run.fits:
            scores.append(result[: n_rows - done])
            done = min(stop, n_rows)
        else:
            # The pass was one without ablation: that is row 0.
            scores.append(result[:1])
            done = 1
        task.progress(done, n_rows)
        if done >= n_rows:
            return Evaluation(ablation, torch.cat(scores))


class _Pass:
    """One forward pass with rows start..stop-1 of the ablation."""

    def __init__(
        self,
        task: Task,
        defers: bool,
        ablation: Ablation | None,
        call: int,
        start: int,
        stop: int,
        trunk: Watch | Skip | None,
    ) -> None:
        self._task = task
        self._defers = defers
        self.ablation = ablation
        self._call = call
        self._start, self._stop = start, stop
        self._trunk = trunk
        self._row = torch.tensor(0)
        self.calls = 0
        self.error: Exception | None = None
        self.fits = True
        self.capacity = task.perturbations_per_eval

    def scores(self) -> Tensor:
        """Scores of shape (stop - start, N)."""

        def score(row: Tensor) -> Tensor:
            self._row = row
            with self._trunk or nullcontext():
                scores = computed(self._task.score())
            if scores.is_meta:
                # Something took the stand-in for the tensor.
                raise RuntimeError("The model took a tensor without values for its result.")
            return scores

        rows = torch.arange(self._stop - self._start)
        with tap(self._task.layer, self._task.at_input, self._edit), quiet_fallback():
            return torch.func.vmap(score, randomness="same")(rows)

    def _edit(self, tensors: Tensors) -> Tensors | None:
        self.calls += 1
        if self.calls != self._call:
            return None
        if self._trunk is not None:
            self._trunk.reach_layer()
        if self.ablation is None:
            # In-place operations behind the layer must not reach what we keep.
            try:
                self.ablation = self._task.plan(tuple(tensor.clone() for tensor in tensors))
            except Exception as error:  # noqa: BLE001
                # Nothing is wrong if this turns out not to be the layer's last call.
                self.error = error
                return None
        elements = sum(tensor.numel() for tensor in tensors)
        capacity = max(1, MAX_ELEMENTS // elements)
        n_rows = self._stop - self._start
        is_bounded = self._task.perturbations_per_eval is not None
        if not is_bounded and not self._defers:
            self.capacity = capacity
            if n_rows > capacity:
                self.fits = False
                return None
        row = self._row.reshape(1).to(tensors[0].device, non_blocking=True)
        keep = self.ablation.keep(self._start, self._stop)
        # Rows past the end (fewer groups than expected) repeat the last one.
        row = row.clamp(max=len(keep[0]) - 1)
        keep = tuple(mask.index_select(0, row)[0] for mask in keep)
        if not self._defers:
            return self.ablation.replaced(keep)
        # What is ablated may be much smaller by the time it must be computed.
        return self.ablation.deferred(keep, None if is_bounded else MAX_ELEMENTS // n_rows)
