"""From a batch of inputs to the rows that are stored."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
import torch
from captum.attr import LayerAttribution
from torch import Tensor

from captum_clustered import ClusteredLayerCAM
from captum_clustered._errors import one_line
from captum_clustered.dataset_run.loading import Batch
from captum_clustered.dataset_run.prediction import ChosenScore
from captum_clustered.interpolation import LINEAR

PREDICTION, LABEL = "prediction", "label"
RESOLUTIONS = ("layer", "input")
Columns = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """
    How each image is explained, beside what the method itself holds.

    Attributes:

        target (str or int): "prediction", "label" or a class.
        attribute_to_layer_input (bool): As in ``ClusteredLayerCAM.attribute``.
        resolution (str): "layer" or "input": the size of the maps that are stored.
    """

    target: Union[str, int] = PREDICTION
    attribute_to_layer_input: bool = False
    resolution: str = "layer"


class Explainer:
    """
    Explains batches.

    Args:

        cam (ClusteredLayerCAM): The method, which is left as it is.
        settings (Settings): How.
        device (torch.device): Where the model is.

    Attributes:

        map_shape (list[int]): Of one image's attribution, once one was explained.
    """

    def __init__(self, cam: ClusteredLayerCAM, settings: Settings, device: torch.device) -> None:
        self._chosen = ChosenScore(cam.forward_func)
        self._cam = copy.copy(cam)
        self._cam.forward_func = self._chosen
        self._settings = settings
        self._device = device
        self.map_shape: list[int] = []

    def rows(self, batch: Batch, names: Sequence[str]) -> list[Columns]:
        """
        A row for each item of a batch, in their order.

        If the batch cannot be explained its images are tried one at a time, and those that
        fail become errors.

        Args:

            batch (Batch): What was read.
            names (sequence of str): Of its items.

        Raises:

            torch.OutOfMemoryError, MemoryError: If memory is short.
            RuntimeError: If the GPU is broken, for which no image is to blame.
        """
        labels = dict(zip(batch.good, batch.labels, strict=True))
        columns: dict[int, Columns] = {index: {"error": why} for index, why in batch.errors.items()}
        if batch.inputs is not None:
            columns |= self._columns(batch.good, batch.inputs, batch.labels)
        return [
            {"index": index, "item": name, "label": labels.get(index), **columns[index]}
            for index, name in zip(batch.items, names, strict=True)
        ]

    def explain(self, inputs: Tensor, labels: Sequence[int | None]) -> list[Columns]:
        """
        The columns of each image that come from the network.

        Raises:

            ValueError: If a target does not fit, the layer has several tensors, or its
                        attribution cannot be brought to the size of the input.
            Exception: Whatever the method or the model raises.
        """
        inputs = inputs.to(self._device, non_blocking=True)
        targets = self._targets(labels)
        self._chosen.start(targets)
        attribution, clusters = self._cam.attribute(
            inputs,
            attribute_to_layer_input=self._settings.attribute_to_layer_input,
            return_clusters=True,
        )
        maps = self._maps(attribution, inputs)
        self.map_shape = list(maps.shape[2:])
        maps = maps.flatten(1).float()
        prediction = self._chosen.prediction
        # Set by the pass that attribute() has made.
        assert prediction is not None  # noqa: S101
        # Whatever the unit of the score, half precision is then precise to 3 digits.
        scale = maps.abs().amax(1)
        maps = maps / torch.where(scale > 0, scale, 1)[:, None]
        columns = {
            "prediction": prediction,
            "target": prediction if targets is None else targets,
            "score": clusters.score.float(),
            "baseline_score": clusters.baseline_score.float(),
            "importances": clusters.importances.float(),
            "sizes": clusters.sizes,
            "scale": scale,
            "attribution": maps.half(),
        }
        arrays = {name: np.asarray(values.cpu()) for name, values in columns.items()}
        return [{name: values[i] for name, values in arrays.items()} for i in range(len(inputs))]

    def _columns(
        self, items: Sequence[int], inputs: Tensor, labels: Sequence[int | None]
    ) -> dict[int, Columns]:
        try:
            return dict(zip(items, self.explain(inputs, labels), strict=True))
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001
            if self._device.type == "cuda":
                # After some errors nothing works any more, and this says so.
                torch.cuda.synchronize(self._device)
            if len(items) == 1:
                return {items[0]: {"error": f"it cannot be explained: {one_line(error)}"}}
        found: dict[int, Columns] = {}
        for position, item in enumerate(items):
            part = slice(position, position + 1)
            found |= self._columns([item], inputs[part], labels[part])
        return found

    def _targets(self, labels: Sequence[int | None]) -> Tensor | None:
        target = self._settings.target
        if target == PREDICTION:
            return None
        return torch.tensor(labels if target == LABEL else [target] * len(labels))

    def _maps(self, attribution: Any, inputs: Tensor) -> Tensor:
        if not isinstance(attribution, Tensor):
            raise ValueError(
                f"layer has {len(attribution)} tensors; a run stores the attribution of a layer "
                "with one."
            )
        if self._settings.resolution == "layer":
            return attribution
        dims = inputs.dim() - 2
        if attribution.dim() != inputs.dim() or dims not in LINEAR:
            raise ValueError(
                f"resolution='input' needs maps: the attribution of shape "
                f"{tuple(attribution.shape)} cannot be interpolated to inputs of shape "
                f"{tuple(inputs.shape)}."
            )
        resized: Tensor = LayerAttribution.interpolate(
            attribution, tuple(inputs.shape[2:]), LINEAR[dims]
        )
        return resized
