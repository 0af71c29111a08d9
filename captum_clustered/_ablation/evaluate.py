"""The entry of this package: run all ablations for the arguments of ``attribute``."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from captum._utils.progress import progress
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._ablation.loop import per_ablation_loop
from captum_clustered._ablation.memory_cap import PassEnds
from captum_clustered._ablation.model_state.arguments import CallArguments
from captum_clustered._ablation.model_state.model import ModelState, layer_name, model_behind
from captum_clustered._ablation.model_state.random_numbers import PassNumbers
from captum_clustered._ablation.model_state.torch_settings import eager_mode
from captum_clustered._ablation.planner import AblationPlanner, LayerBaselines, expected_channels
from captum_clustered._ablation.request import (
    AblationRequest,
    AblationScores,
    PlanError,
    format_inputs,
    target_scores,
)
from captum_clustered._ablation.single_pass.vmap_pass import vmap_pass
from captum_clustered._argument_checks import check_int
from captum_clustered._clustering.clusterers import EachChannel
from captum_clustered._layer_shapes import warn_if_channels_last

if TYPE_CHECKING:
    from captum_clustered.clustered_layer_cam import ClusteredLayerCAM


def evaluate(
    cam: ClusteredLayerCAM,
    inputs: Tensor | tuple[Tensor, ...],
    target: TargetType,
    additional_forward_args: object = None,
    attribute_to_layer_input: bool = False,
    *,
    layer_baselines: LayerBaselines = None,
    perturbations_per_eval: int | None = None,
    show_progress: bool = False,
    with_baseline_score: bool = False,
    stacklevel: int = 2,
) -> AblationScores:
    """
    Run the model with all ablations that ``cam.attribute`` needs; takes its arguments.

    Args:

        with_baseline_score (bool): Whether to evaluate the baseline, even if the importances
                    do not need it.
        stacklevel (int): As in :func:`warnings.warn`; 1 is the caller of this function.
    """
    formatted = format_inputs(inputs)
    if perturbations_per_eval is not None:
        check_int("perturbations_per_eval", perturbations_per_eval, 1)
    # Before cam.importance is used, since this checks all settings.
    clusterer = cam._current_clusterer(attribute_to_layer_input)
    importance = IMPORTANCES[cam.importance]
    planner = AblationPlanner(
        n_examples=len(formatted[0]),
        clusterer=clusterer,
        importance=importance,
        n_samples=int(cam.n_samples),
        seed=int(cam.seed),
        channel_dim=cam.channel_dim,
        layer_baselines=layer_baselines,
        with_baseline_score=with_baseline_score or importance.needs_baseline_score,
        layer_name=layer_name(cam.forward_func, cam.layer),
        # Only this clusterer needs it, and finding it takes a millisecond for a large layer.
        expected_channels=expected_channels(
            cam.layer, attribute_to_layer_input, model_behind(cam.forward_func)
        )
        if isinstance(clusterer, EachChannel)
        else None,
    )
    state = ModelState(cam.forward_func, cam.layer, formatted)
    device_ids = cam._device_ids()
    # DataParallel runs replicas in threads.
    is_parallel = device_ids is not None and len(device_ids) > 1
    numbers = PassNumbers(state.devices, state.is_training or cam._can_draw, is_parallel)
    arguments = CallArguments(formatted, additional_forward_args)

    def run(until_output: AbstractContextManager[None] | None = None) -> Tensor:
        until = until_output or nullcontext()
        with arguments.one_pass(), state.restored(), numbers.one_pass(), until:
            return target_scores(cam.forward_func, formatted, target, additional_forward_args)

    bar = _ProgressBar(f"{cam.get_name()} attribution" if show_progress else None)
    request = AblationRequest(
        run,
        cam.layer,
        attribute_to_layer_input,
        planner,
        perturbations_per_eval,
        bar.show,
        cam._n_calls,
    )
    with torch.no_grad(), eager_mode(), closing(bar):
        scores, failure = numbers.evaluate(
            lambda: _by_either_engine(request, device_ids, is_parallel)
        )
        arguments.settle()
    # Found out again only if it changes.
    cam._n_calls = scores.n_calls
    if not state.is_training:
        cam._can_draw = numbers.can_draw
    if failure:
        warnings.warn(
            f"{cam.get_name()} ran the model once for each ablation instead of once for all, "
            f"because the model cannot run under torch.func.vmap ({failure}).",
            stacklevel=stacklevel + 1,
        )
    state.warn_if_training(stacklevel + 1, numbers.were_drawn)
    state.warn_if_unsteady(stacklevel + 1)
    warn_if_channels_last(
        scores.plan.values, formatted, cam.channel_dim, planner.layer_name, stacklevel + 1
    )
    return scores


def _by_either_engine(
    request: AblationRequest, device_ids: list[int] | None, is_parallel: bool
) -> tuple[AblationScores, str]:
    """Return the scores and, if they are from the loop, why vmap failed."""
    failure = ""
    cause: Exception | None = None
    # vmap does not reach the threads of DataParallel's replicas.
    if not is_parallel:
        try:
            return vmap_pass(request), ""
        except (torch.cuda.OutOfMemoryError, MemoryError):
            raise
        except PlanError as error:
            cause = error.cause
        except (PassEnds, Exception) as error:  # noqa: BLE001
            # An error of the model, not of vmap, is raised again by the loop.
            # Further lines are advice to users of vmap.
            failure = f"{type(error).__name__}: {error}".splitlines()[0]
    if cause is not None:
        # Not inside the except block, so that the user sees this exception alone.
        raise cause
    return per_ablation_loop(request, device_ids), failure


class _ProgressBar:
    """Captum's progress bar, made when the number of ablations is known."""

    def __init__(self, description: str | None) -> None:
        self._description = description
        self._bar: Any = None
        self._done = 0

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int) -> None:
        if self._description is None:
            return
        if self._bar is None:
            self._bar = progress(desc=self._description, total=total)
        self._bar.update(done - self._done)
        self._done = done
