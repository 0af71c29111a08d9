"""The reference path: one full forward pass for each ablation."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_clustered._ablation.hooks import Tensors, tap
from captum_clustered._ablation.recorder import Recorder
from captum_clustered._ablation.request import Evaluation, Task


def replay(task: Task, device_ids: list[int] | None) -> Evaluation:
    """
    Evaluates a task as Captum's LayerFeatureAblation does: the model runs once to see
    the layer, then once for each row with the layer's tensors replaced.

    It works for every model that Captum's layer attributions work for, DataParallel
    included, and is what the single pass is tested against.

    Args:

        task (Task): What to evaluate.
        device_ids (list[int] or None): The order of the devices that DataParallel uses.
    """
    seen = Recorder()
    with tap(task.layer, task.at_input, seen.record):
        scores = [task.score()]
    if not seen.tensors:
        raise task.not_reached()
    ablation = task.plan(seen.gathered(device_ids))
    task.progress(1, ablation.n_rows)
    for row in range(1, ablation.n_rows):
        keep = tuple(mask[0] for mask in ablation.keep(row, row + 1))
        replacement = _Replacement(seen, ablation.replaced(keep), device_ids)
        with tap(task.layer, task.at_input, replacement.edit):
            scores.append(task.score())
        task.progress(row + 1, ablation.n_rows)
    return Evaluation(ablation, torch.stack(scores))


class _Replacement:
    """Puts given tensors in place of those of the layer's last call."""

    def __init__(self, seen: Recorder, tensors: Tensors, device_ids: list[int] | None) -> None:
        devices = seen.devices(device_ids)
        sizes = [len(seen.tensors[device][0]) for device in devices]
        parts = zip(*(tensor.split(sizes) for tensor in tensors), strict=True)
        self._parts: dict[torch.device, Tensors] = {
            device: tuple(tensor.to(device) for tensor in part)
            for device, part in zip(devices, parts, strict=True)
        }
        self._remaining = dict(seen.calls)

    def edit(self, tensors: tuple[Tensor, ...]) -> Tensors | None:
        device = tensors[0].device
        self._remaining[device] -= 1
        return self._parts[device] if self._remaining[device] == 0 else None
