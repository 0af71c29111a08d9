"""The entry of this package: from a model and a plan of ablations to their scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from captum._utils.progress import progress
from captum._utils.typing import TargetType
from torch import Tensor
from torch.nn import Module

from captum_clustered._ablation.hooks import Tensors
from captum_clustered._ablation.loop import per_ablation_loop
from captum_clustered._ablation.model import ModelState
from captum_clustered._ablation.planner import AblationPlanner
from captum_clustered._ablation.request import (
    AblationRequest,
    AblationScores,
    PlanError,
    target_scores,
)
from captum_clustered._ablation.torch_settings import eager_mode
from captum_clustered._ablation.vmap_pass import vmap_pass


def evaluate(
    forward_func: Callable[..., Any],
    layer: Module,
    inputs: Tensors,
    target: TargetType,
    additional_forward_args: object,
    attribute_to_layer_input: bool,
    *,
    planner: AblationPlanner,
    perturbations_per_eval: int | None,
    device_ids: list[int] | None,
    method: str,
    show_progress: bool,
    stacklevel: int,
) -> AblationScores:
    """
    Run the model with all ablations that ``planner`` chooses.

    Args:

        forward_func, ..., attribute_to_layer_input, perturbations_per_eval: As in
                    :class:`ClusteredLayerCAM <captum_clustered.ClusteredLayerCAM>`.
        planner (AblationPlanner): Chooses the ablations.
        device_ids (list[int] or None): The devices of a DataParallel model.
        method (str): The method's name, for warnings and the progress bar.
        show_progress (bool): Whether to show a progress bar over the ablations.
        stacklevel (int): Which caller is warned, as in :func:`warnings.warn`; 1 is the caller
                    of this function.

    Warns:

        UserWarning: If the model is in training mode, or cannot run under
                    :func:`torch.func.vmap`.
    """
    state = ModelState(forward_func, layer, inputs)

    def run() -> Tensor:
        with state.restored():
            return target_scores(forward_func, inputs, target, additional_forward_args)

    bar = _ProgressBar(f"{method} attribution" if show_progress else None)
    request = AblationRequest(
        run=run,
        layer=layer,
        attribute_to_layer_input=attribute_to_layer_input,
        planner=planner,
        perturbations_per_eval=perturbations_per_eval,
        progress=bar.show,
    )
    with torch.no_grad(), eager_mode(), bar:
        scores, failure = _by_either_engine(request, device_ids)
    if failure:
        warnings.warn(
            f"{method} ran the model once for each ablation instead of once in all, because it "
            f"cannot run under torch.func.vmap ({failure}).",
            stacklevel=stacklevel + 1,
        )
    state.warn_if_training(stacklevel=stacklevel + 1)
    return scores


def _by_either_engine(
    request: AblationRequest, device_ids: list[int] | None
) -> tuple[AblationScores, str]:
    """Return the scores, and why vmap failed if they are the loop's."""
    failure = ""
    cause: Exception | None = None
    # DataParallel runs replicas in threads, which vmap does not reach.
    if device_ids is None or len(device_ids) < 2:
        try:
            return vmap_pass(request), ""
        except (torch.cuda.OutOfMemoryError, MemoryError):
            raise
        except PlanError as error:
            cause = error.cause
        except Exception as error:  # noqa: BLE001
            # If this is the user's error and not vmap's, the loop raises it again.
            failure = f"{type(error).__name__}: {error}"
    if cause is not None:
        # Not inside the except block, so that the user sees this exception alone.
        raise cause
    return per_ablation_loop(request, device_ids), failure


class _ProgressBar:
    """Captum's progress bar over the ablations, whose number is known late."""

    def __init__(self, description: str | None) -> None:
        self._description = description
        self._bar: Any = None
        self._done = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int) -> None:
        if self._description is None:
            return
        if self._bar is None:
            self._bar = progress(desc=self._description, total=total)
        self._bar.update(done - self._done)
        self._done = done
