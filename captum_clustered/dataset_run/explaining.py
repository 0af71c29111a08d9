"""From a batch of inputs to the rows that are stored."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
import torch
from captum.attr import LayerAttribution
from torch import Tensor

from captum_clustered._ablation.plan import UNABLATED
from captum_clustered._argument_checks import check_choice, is_int, shape_of
from captum_clustered._errors import one_line
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.dataset_run.loading import LoadedBatch
from captum_clustered.input_attribution import LINEAR
from captum_clustered.scores import ScoreWrapper, class_scores
from captum_clustered.test_time_augmentation import TestTimeAugmentation

PREDICTION, LABEL = "prediction", "label"
Columns = dict[str, Any]


@dataclass(frozen=True)
class RunSettings:
    """Arguments of :func:`explain_dataset` that say how each image is explained."""

    target: Union[str, int] = PREDICTION
    attribute_to_layer_input: bool = False
    resolution: str = "layer"
    layer_baselines: Union[float, None] = None
    perturbations_per_eval: Union[int, None] = None
    views: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        target = self.target
        if target not in (PREDICTION, LABEL) and not (is_int(target) and int(target) >= 0):
            raise ValueError(f"target={target!r} must be 'prediction', 'label' or a class number.")
        check_choice("resolution", self.resolution, ("layer", "input"))
        for name in ("target", "perturbations_per_eval"):
            # NumPy's integers are no JSON.
            if is_int(getattr(self, name)):
                object.__setattr__(self, name, int(getattr(self, name)))
        baselines: Any = self.layer_baselines
        # The settings are stored as JSON, which has no tensors.
        if not isinstance(baselines, (int, float, type(None))):
            kind = type(baselines).__name__
            raise ValueError(f"layer_baselines must be a number for a run; got {kind}.")


class BatchExplainer:
    """Explains batches; ``map_shape`` is the shape of a map, known after the first batch."""

    def __init__(self, cam: ClusteredLayerCAM, settings: RunSettings, device: torch.device) -> None:
        self._score = TargetScore(cam.forward_func)
        cam = copy.copy(cam)
        cam.forward_func = self._score
        self._method = TestTimeAugmentation(cam, settings.views) if settings.views else cam
        self._settings = settings
        self._device = device
        self.map_shape: list[int] = []

    def rows(self, batch: LoadedBatch, names: Sequence[str]) -> list[Columns]:
        """
        Return one row per item of a batch, in order.

        If a batch cannot be explained, its images are tried one by one, and those that fail get a
        row with the error. Errors that are no image's fault are raised: memory is short, or the GPU
        is broken.
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
        """Return the columns of each image that come from the network."""
        # A copy: if the model writes into it and fails, the images are tried again one by one.
        inputs = inputs.to(self._device, non_blocking=True, copy=True)
        targets = self._targets(labels)
        self._score.start(targets, len(inputs))
        attribution, clusters = self._method.attribute(
            inputs,
            attribute_to_layer_input=self._settings.attribute_to_layer_input,
            layer_baselines=self._settings.layer_baselines,
            perturbations_per_eval=self._settings.perturbations_per_eval,
            return_clusters=True,
        )
        maps = self._maps(attribution, inputs)
        self.map_shape = list(maps.shape[2:])
        maps = maps.flatten(1).float()
        prediction = self._score.prediction
        # attribute() has run the model, which sets it.
        assert prediction is not None  # noqa: S101
        # Scaled to 1, half precision keeps 3 digits whatever the unit of the score.
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
                # Some errors leave the GPU unusable; this call then raises.
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
        size = tuple(inputs.shape[2:])
        resized: Tensor = LayerAttribution.interpolate(attribution, size, LINEAR[dims])
        return resized


class TargetScore(ScoreWrapper):
    """
    A forward function that returns one score per image: that of its target.

    The predicted class is known only after a forward pass, and a second pass to explain it
    would double the cost. So this function reads the prediction off the ablation plan's
    evaluation ``UNABLATED``, which runs first, and selects the score of the same class in all
    other evaluations. ``prediction`` has the classes (N,) once the batch was run.
    """

    def __init__(self, forward_func: Callable[..., Tensor]) -> None:
        super().__init__(forward_func)
        self.prediction: Tensor | None = None
        self._target: Tensor | None = None
        self._n_images: int | None = None
        self._range = (0, 0)

    def start(self, target: Tensor | None, n_images: int | None = None) -> None:
        """
        Prepare for a batch with a class per image, on the CPU, or None for the predicted one.

        The examples may be several views of ``n_images`` images; the class of an image is that of
        its first view.
        """
        self.prediction, self._target, self._n_images = None, target, n_images
        # Here, on the CPU, the check does not wait for a GPU.
        self._range = (0, 0) if target is None else (int(target.min()), int(target.max()))

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return scores of shape (N,)."""
        scores = self.forward_func(*args, **kwargs)
        if not isinstance(scores, Tensor) or scores.dim() != 2:
            raise ValueError(
                "forward_func must return a score for each class, shape (N, n_classes); got "
                f"{shape_of(scores)}."
            )
        scores = class_scores(scores)
        for target in self._range:
            if not 0 <= target < scores.shape[1]:
                raise ValueError(
                    f"target {target} is out of range: forward_func returns {scores.shape[1]} "
                    f"classes, 0 to {scores.shape[1] - 1}."
                )
        selected: Tensor = _Select.apply(scores, self)
        return selected

    def select(self, scores: Tensor) -> Tensor:
        """Return the targets' scores, (M, N), of M evaluations' scores (M, N, n_classes)."""
        if self.prediction is None:
            self.prediction = scores[UNABLATED, : self._n_images].argmax(1)
        target = self.prediction if self._target is None else self._target.to(scores.device)
        # Views of a batch are one after the other.
        target = target.repeat(scores.shape[1] // len(target))
        return scores.gather(2, target.expand(len(scores), -1)[..., None])[..., 0]


class _Select(torch.autograd.Function):
    """Under vmap an operation sees one evaluation; only its vmap rule sees all of them."""

    @staticmethod
    def forward(scores: Tensor, score: TargetScore) -> Tensor:
        return score.select(scores[None])[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """There is no backward pass."""

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], scores: Tensor, score: TargetScore
    ) -> tuple[Tensor, int]:
        assert in_dims[0] is not None  # noqa: S101 - torch calls it only then
        return score.select(scores.movedim(in_dims[0], 0)), 0
