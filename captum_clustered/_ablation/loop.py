"""The reference engine: one full forward pass for each ablation."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_clustered._ablation.hooks import (
    LayerActivations,
    LayerTensors,
    Tensors,
    edit_layer,
    not_reached,
    record_layer,
)
from captum_clustered._ablation.request import AblationRequest, AblationScores
from captum_clustered._subclasses import like


def per_ablation_loop(request: AblationRequest, device_ids: list[int] | None) -> AblationScores:
    """
    Evaluate a request as Captum's LayerFeatureAblation does.

    The model runs once to record the layer, then once for each ablation with the layer's
    tensors replaced. This works for every model that Captum's layer attributions work for,
    including DataParallel, whose devices are ordered as in ``device_ids``. :func:`vmap_pass` is
    tested against it.
    """
    with record_layer(request.layer, request.attribute_to_layer_input) as seen:
        scores = [request.run()]
    if not seen.tensors:
        raise not_reached(request.planner.layer_name)
    plan = request.planner.plan(seen.gathered(device_ids), seen.places)
    request.progress(1, plan.n_evaluations)
    for i in range(1, plan.n_evaluations):
        ablations = plan.ablations(i, i + 1, torch.zeros(1, dtype=torch.long))
        replacement = _Replacement(seen, plan.ablated(ablations), device_ids)
        with edit_layer(request.layer, request.attribute_to_layer_input, replacement.edit):
            scores.append(request.run())
        request.progress(i + 1, plan.n_evaluations)
    return AblationScores(plan, torch.stack(scores), request.n_calls)


class _Replacement:
    """Replaces the tensors of the layer's last call."""

    def __init__(
        self, seen: LayerActivations, tensors: tuple[Tensor, ...], device_ids: list[int] | None
    ) -> None:
        devices = seen.devices(device_ids)
        sizes = [len(seen.tensors[device][0]) for device in devices]
        parts = zip(*(tensor.split(sizes) for tensor in tensors), strict=True)
        self._parts: dict[torch.device, Tensors] = {
            device: tuple(
                like(template.clone(), tensor.to(device))
                for template, tensor in zip(seen.tensors[device], part, strict=True)
            )
            for device, part in zip(devices, parts, strict=True)
        }
        self._remaining = dict(seen.calls)

    def edit(self, tensors: LayerTensors) -> Tensors | None:
        device = tensors.device
        self._remaining[device] -= 1
        return self._parts[device] if self._remaining[device] == 0 else None
