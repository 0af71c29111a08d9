"""Run all methods and metrics on one batch, whatever fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Any, TypeVar, Union

import torch
from torch import Tensor

from captum_clustered._ablation.model_state.model import ModelState
from captum_clustered._ablation.model_state.random_numbers import PrivateNumbers
from captum_clustered._argument_checks import shape_of
from captum_clustered.comparison.data import ImageBatch
from captum_clustered.comparison.forward import Forward, Remembered
from captum_clustered.comparison.methods import Method
from captum_clustered.comparison.metrics import Case, Metric, seed_of
from captum_clustered.comparison.pictures import Pictures
from captum_clustered.comparison.store import BatchResult
from captum_clustered.scores import SCORES, LogitWrapper, class_scores

T = TypeVar("T")
# Name of a curve -> place of an image in the batch -> its curve.
Curves = dict[str, dict[int, Tensor]]
Target = Union[str, int]
NAN = float("nan")


class WrongModelError(ValueError):
    """An error that every image would raise, such as a model that returns no logits."""


@dataclass
class BatchRun:
    """Runs all methods and metrics on a batch, and restores the model after it."""

    forward_func: Forward
    model_state: ModelState
    methods: list[Method]
    metrics: dict[str, Metric]
    target: Target
    at_input: bool
    seed: int
    score: str = "logit"

    def __call__(
        self, index: int, start: int, batch: ImageBatch, pictures: Pictures | None = None
    ) -> BatchResult:
        """
        Return the results of a batch whose first image has the number ``start``.

        If ``pictures`` is given, it takes the pictures of the batch.
        """
        # Statistics and states of a batch must not change the next one, because a resumed
        # comparison has not seen it.
        with self.model_state.restored():
            return self._run(index, start, batch, pictures)

    def _run(
        self, index: int, start: int, batch: ImageBatch, pictures: Pictures | None
    ) -> BatchResult:
        result, whole = BatchResult(), batch
        with PrivateNumbers(seed_of(self.seed, index, "logits")):
            parts = _piecewise(
                lambda indices: logits_of(self.forward_func, whole.select(indices).inputs),
                range(start, start + len(whole)),
                partial(result.fail, "", ""),
            )
        if not parts:
            return result
        indices, logits = _joined(parts)
        probabilities = SCORES[self.score].probability(lambda outputs: outputs)(logits)
        logits = class_scores(logits)
        predictions, n_classes = logits.argmax(1), logits.shape[1]
        target = self._target(predictions, whole.select(indices), n_classes)
        is_class = ((target >= 0) & (target < n_classes)).tolist()
        for i, label in enumerate(target.tolist()):
            if not is_class[i]:
                classes = f"forward_func's {n_classes} classes, 0 to {n_classes - 1}"
                error = ValueError(f"target='label', but label {label} is none of {classes}")
                result.fail("", "", start + indices[i], error)
        if not any(is_class):
            return result
        predictions, target = predictions[is_class], target[is_class]
        probabilities = probabilities[is_class]
        indices = list(compress(indices, is_class))
        batch = whole.select(indices)
        result.images = [
            {
                "image": start + indices[i],
                "label": None if batch.labels is None else int(batch.labels[i]),
                "prediction": int(predictions[i]),
                "probability": float(probabilities[i, predictions[i]]),
                "target": int(target[i]),
            }
            for i in range(len(indices))
        ]
        if pictures is not None:
            pictures.start(batch)
        # Equal inputs are evaluated once.
        probability = Remembered(SCORES[self.score].probability(self.forward_func), len(batch))
        for method in self.methods:
            try:
                self._run_method(method, batch, target, probability, index, result, pictures)
            except Exception as error:  # noqa: BLE001
                # For example from metrics; the other methods go on.
                for number in result.numbers():
                    result.fail(method.name, "", number, error)
        return result

    def _target(self, predictions: Tensor, batch: ImageBatch, n_classes: int) -> Tensor:
        """Return the class to explain of each image; a label may be none of the classes."""
        if self.target == "prediction":
            return predictions
        if self.target == "label" and batch.labels is not None:
            return batch.labels.to(predictions.device)
        if int(self.target) >= n_classes:
            raise ValueError(
                f"target={self.target} must be a class from 0 to {n_classes - 1}, as forward_func "
                f"returns {n_classes} classes."
            )
        return torch.full_like(predictions, int(self.target))

    def _run_method(
        self,
        method: Method,
        batch: ImageBatch,
        target: Tensor,
        probability: Forward,
        index: int,
        result: BatchResult,
        pictures: Pictures | None,
    ) -> None:
        numbers = result.numbers()

        def explain(part: ImageBatch, part_target: Tensor) -> Tensor:
            return method.explain(part, part_target, self.at_input)[0]

        before = method.forward_examples()
        with _measured(seed_of(self.seed, index, method.name), batch.inputs) as cost:
            parts = _piecewise(
                lambda indices: method.explain(
                    batch.select(indices), target[indices], self.at_input
                ),
                numbers,
                partial(result.fail, method.name, ""),
            )
        if not parts:
            return
        indices, maps = _joined([(some, maps) for some, (maps, _) in parts])
        cost |= {"forward_examples": method.forward_examples() - before, "images": len(indices)}
        result.costs[method.name] = cost
        if pictures is not None:
            pictures.add(method.name, indices, maps)
            try:
                pictures.add_clusters(method.name, [(some, found) for some, (_, found) in parts])
            except Exception as error:  # noqa: BLE001
                # The maps are there all the same.
                for i in indices:
                    result.fail(method.name, "clusters", numbers[i], error)
        # Clusters are as large as the layer, and metrics need the memory.
        del parts
        part = batch.select(indices)
        case = Case(
            method=method.name,
            inputs=part.inputs,
            target=target[indices],
            attributions=maps,
            labels=part.labels,
            masks=part.masks,
            forward_func=LogitWrapper(self.forward_func),
            probability=probability,
            explainer=explain,
            seed=seed_of(self.seed, index),
        )
        self._run_metrics(case, indices, index, result)

    def _run_metrics(self, case: Case, indices: list[int], index: int, result: BatchResult) -> None:
        """Evaluate all metrics on a case, which holds the images of these indices."""
        method = case.method
        numbers = [result.numbers()[i] for i in indices]
        values: dict[str, list[float | None]] = {}
        seconds: dict[str, float] = {}
        curves: Curves = {}
        for name, metric in self.metrics.items():
            with _measured(seed_of(self.seed, index, method, name), case.inputs) as cost:
                evaluate = partial(_values, metric, case, curves)
                parts = _piecewise(evaluate, numbers, partial(result.fail, method, name))
            values[name], seconds[name] = [None] * len(result.images), cost["seconds"]
            for some, found in parts:
                for i, value in zip(some, found, strict=True):
                    values[name][indices[i]] = value
        result.values[method], result.metric_seconds[method] = values, seconds
        sums = {
            name: torch.stack([curve[i] for i in sorted(curve)]).double().sum(0).tolist()
            for name, curve in curves.items()
        }
        result.curves[method] = {
            name: {"n": len(curves[name]), "sum": total} for name, total in sums.items()
        }


def _piecewise(
    function: Callable[[list[int]], T],
    numbers: Sequence[int],
    failed: Callable[[int, Exception], None],
) -> list[tuple[list[int], T]]:
    """
    Call a function on the indices of all images or, if that fails, on each alone.

    Returns the indices of images that did not fail, with their results.
    """
    everything = list(range(len(numbers)))
    if len(numbers) > 1:
        try:
            return [(everything, function(everything))]
        except WrongModelError:
            raise
        except Exception:  # noqa: BLE001, S110
            # The loop below finds the example.
            pass
    parts = []
    for i in everything:
        try:
            parts.append(([i], function([i])))
        except WrongModelError:
            raise
        except Exception as error:  # noqa: BLE001
            failed(numbers[i], error)
            # The exception may be stored; its traceback would keep this batch alive.
            error.__traceback__ = None
    return parts


def _joined(parts: list[tuple[list[int], Tensor]]) -> tuple[list[int], Tensor]:
    indices = [i for some, _ in parts for i in some]
    shapes = sorted({tuple(tensor.shape[1:]) for _, tensor in parts})
    if len(shapes) > 1:
        raise ValueError(
            "what it returns must have the same shape for all images of a batch; got "
            f"{' and '.join(map(str, shapes))}."
        )
    return indices, torch.cat([tensor for _, tensor in parts])


def logits_of(forward_func: Forward, inputs: Tensor) -> Tensor:
    """Return the logits of images; raise WrongModelError if the output is not logits."""
    with torch.no_grad():
        logits = forward_func(inputs)
    hint = ""
    if inputs.dim() == 3:
        hint = (
            f" data's images have shape {tuple(inputs.shape)}: if that is a single image, give "
            "image[None], which has the dimension of images."
        )
    if not isinstance(logits, Tensor) or logits.dim() != 2 or not logits.shape[1]:
        raise WrongModelError(
            "forward_func must return logits of shape (N, n_classes); got "
            f"{shape_of(logits)}.{hint}"
        )
    if len(logits) != len(inputs):
        raise WrongModelError(
            f"forward_func must return logits for each of the {len(inputs)} images; got "
            f"{len(logits)}.{hint}"
        )
    if not torch.isfinite(logits).all():
        raise ValueError("forward_func gives logits that are not finite.")
    return logits


def _values(metric: Metric, whole: Case, curves: Curves, indices: list[int]) -> list[float]:
    """Return a metric's values of some of the images, and add the curves that it computed."""
    case = whole.select(indices)
    # A copy, because a metric may change tensors in place.
    values = metric.function(case.copied())
    if not isinstance(values, Tensor) or tuple(values.shape) != (len(indices),):
        raise ValueError(
            f"A metric must return a tensor of one value for each image, shape "
            f"({len(indices)},); got {shape_of(values)}."
        )
    for name, curve in case.curves.items():
        curves.setdefault(name, {}).update(zip(indices, curve, strict=True))
    floats: list[float] = values.detach().double().tolist()
    return floats


@contextmanager
def _measured(seed: int, inputs: Tensor) -> Iterator[dict[str, Any]]:
    """Seed random numbers; measure seconds, and the bytes that are needed on the GPU."""
    cost: dict[str, Any] = {"seconds": NAN, "peak_memory": NAN}
    device, before = inputs.device, 0
    on_gpu = device.type == "cuda"
    with PrivateNumbers(seed):
        if on_gpu:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        start = time.perf_counter()
        yield cost
        if on_gpu:
            torch.cuda.synchronize(device)
            cost["peak_memory"] = float(torch.cuda.max_memory_allocated(device) - before)
        cost["seconds"] = time.perf_counter() - start
