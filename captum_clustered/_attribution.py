"""The three steps of the method in their order: cluster and ablate, then attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._ablation.evaluate import evaluate
from captum_clustered._ablation.model import layer_name
from captum_clustered._ablation.planner import AblationPlanner, LayerBaselines
from captum_clustered._ablation.request import format_inputs
from captum_clustered._checks import check_int
from captum_clustered._maps import SCALINGS, ClusterAttribution

if TYPE_CHECKING:
    from captum_clustered.clustered_layer_cam import ClusteredLayerCAM


def cluster_attribution(
    cam: ClusteredLayerCAM,
    inputs: Union[Tensor, tuple[Tensor, ...]],
    target: TargetType,
    additional_forward_args: object = None,
    attribute_to_layer_input: bool = False,
    *,
    layer_baselines: LayerBaselines = None,
    perturbations_per_eval: int | None = None,
    show_progress: bool = False,
    with_baseline_score: bool = False,
    with_delta: bool = False,
    stacklevel: int = 1,
) -> ClusterAttribution:
    """
    Return what ``cam.attribute`` computes, before it is formatted.

    Without ``with_baseline_score`` and ``with_delta``, the clusters come at no extra cost.

    Args:

        cam (ClusteredLayerCAM): The method.
        inputs, ..., show_progress: As in ``cam.attribute``.
        with_baseline_score (bool): Whether the clusters need the score of the baseline.
        with_delta (bool): Whether the completeness delta is needed.
        stacklevel (int): Which caller is warned, as in :func:`warnings.warn`.
    """
    formatted = format_inputs(inputs)
    if perturbations_per_eval is not None:
        check_int("perturbations_per_eval", perturbations_per_eval, 1)
    # First, since it checks the other settings too.
    clusterer = cam._current_clusterer(attribute_to_layer_input)
    scaling, importance = SCALINGS[cam.scaling], IMPORTANCES[cam.importance]
    if with_delta:
        scaling.check_additive()
    planner = AblationPlanner(
        n_examples=len(formatted[0]),
        clusterer=clusterer,
        importance=importance,
        n_samples=cam.n_samples,
        seed=cam.seed,
        channel_dim=cam.channel_dim,
        layer_baselines=layer_baselines,
        with_baseline_score=with_baseline_score or with_delta or importance.needs_baseline_score,
        layer_name=layer_name(cam.forward_func, cam.layer),
    )
    evaluated = evaluate(
        cam.forward_func,
        cam.layer,
        formatted,
        target,
        additional_forward_args,
        attribute_to_layer_input,
        planner=planner,
        perturbations_per_eval=perturbations_per_eval,
        device_ids=cam._device_ids(),
        method=cam.get_name(),
        show_progress=show_progress,
        stacklevel=stacklevel + 1,
    )
    return ClusterAttribution(evaluated, scaling)
