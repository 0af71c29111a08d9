"""Run all methods and metrics on one batch, whatever fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, Union

import torch
from torch import Tensor

from captum_clustered._ablation.model import ModelState
from captum_clustered.comparison.data import ImageBatch
from captum_clustered.comparison.forward import Forward
from captum_clustered.comparison.methods import Method
from captum_clustered.comparison.metrics import Case, Metric, remembered_probability, seed_of
from captum_clustered.comparison.pictures import Pictures
from captum_clustered.comparison.store import BatchResult

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
        result = BatchResult()
        whole = batch
        numbers = list(range(start, start + len(whole)))

        def failed(i: int, error: Exception) -> None:
            _fail(result, numbers[i], "", "", error)

        with isolated(seed_of(self.seed, index, "logits"), batch.inputs):
            parts = _piecewise(
                lambda indices: logits_of(self.forward_func, whole.select(indices).inputs),
                len(whole),
                failed,
            )
        if not parts:
            return result
        indices, logits = _joined(parts)
        n_classes = logits.shape[1]
        kept = self._with_a_target(whole, indices, n_classes, failed)
        if not kept:
            return result
        predictions = logits[[indices.index(i) for i in kept]].argmax(1)
        batch = whole.select(kept)
        target = self._target(predictions, batch, n_classes)
        result.images = [
            {
                "image": numbers[kept[i]],
                "label": None if batch.labels is None else int(batch.labels[i]),
                "prediction": int(predictions[i]),
                "target": int(target[i]),
            }
            for i in range(len(kept))
        ]
        if pictures is not None:
            pictures.start(batch)
        probability = remembered_probability(self.forward_func, len(batch))
        for method in self.methods:
            try:
                self._run_method(method, batch, target, probability, index, result, pictures)
            except Exception as error:  # noqa: BLE001
                # For example from metrics; the other methods go on.
                for number in result.numbers():
                    _fail(result, number, method.name, "", error)
        return result

    def _with_a_target(
        self,
        batch: ImageBatch,
        indices: list[int],
        n_classes: int,
        failed: Callable[[int, Exception], None],
    ) -> list[int]:
        """Return the images whose label is a class, if labels are explained."""
        if self.target != "label":
            return indices
        if batch.labels is None:
            raise ValueError("target='label' needs labels in data.")
        labels, kept = batch.labels.tolist(), []
        for i in indices:
            if 0 <= labels[i] < n_classes:
                kept.append(i)
                continue
            classes = f"forward_func's {n_classes} classes, 0 to {n_classes - 1}"
            failed(i, ValueError(f"target='label', but label {labels[i]} is none of {classes}"))
        return kept

    def _target(self, predictions: Tensor, batch: ImageBatch, n_classes: int) -> Tensor:
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
        with isolated(seed_of(self.seed, index, method.name), batch.inputs), _cost() as cost:
            parts = _piecewise(
                lambda indices: method.explain(
                    batch.select(indices), target[indices], self.at_input
                ),
                len(batch),
                lambda i, error: _fail(result, numbers[i], method.name, "", error),
            )
        if not parts:
            return
        indices, maps = _joined([(some, maps) for some, (maps, _) in parts])
        cost |= {
            "forward_examples": method.forward_examples() - before,
            "images": len(indices),
        }
        result.costs[method.name] = cost
        if pictures is not None:
            pictures.add(method.name, indices, maps)
            try:
                pictures.add_clusters(method.name, [(some, found) for some, (_, found) in parts])
            except Exception as error:  # noqa: BLE001
                # The maps are there all the same.
                for i in indices:
                    _fail(result, numbers[i], method.name, "clusters", error)
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
            forward_func=self.forward_func,
            probability=probability,
            explainer=explain,
            seed=seed_of(self.seed, index),
        )
        result.values[method.name] = {}
        result.metric_seconds[method.name] = {}
        curves: Curves = {}
        for name, metric in self.metrics.items():
            self._run_metric(name, metric, case, indices, index, result, curves)
        result.curves[method.name] = {
            name: {
                "n": len(found),
                "sum": torch.stack([found[i] for i in sorted(found)]).double().sum(0).tolist(),
            }
            for name, found in curves.items()
        }

    def _run_metric(
        self,
        name: str,
        metric: Metric,
        case: Case,
        indices: list[int],
        index: int,
        result: BatchResult,
        curves: Curves,
    ) -> None:
        numbers = [result.numbers()[i] for i in indices]
        values: list[float | None] = [None] * len(result.images)
        seed = seed_of(self.seed, index, case.method, name)

        def evaluate(some: list[int]) -> list[float]:
            part = case.select(some)
            found = _values(metric, part)
            for curve_name, curve in part.curves.items():
                curves.setdefault(curve_name, {}).update(zip(some, curve, strict=True))
            return found

        with isolated(seed, case.inputs), _cost() as cost:
            parts = _piecewise(
                evaluate,
                len(indices),
                lambda i, error: _fail(result, numbers[i], case.method, name, error),
            )
        for some, found in parts:
            for i, value in zip(some, found, strict=True):
                values[indices[i]] = value
        result.values[case.method][name] = values
        result.metric_seconds[case.method][name] = cost["seconds"]


def _piecewise(
    function: Callable[[list[int]], T], n: int, failed: Callable[[int, Exception], None]
) -> list[tuple[list[int], T]]:
    """
    Call a function on all of n examples or, if that fails, on each alone.

    Returns the indices of examples that did not fail, with their results.
    """
    everything = list(range(n))
    if n > 1:
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
            failed(i, error)
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


def _fail(
    result: BatchResult, image: int | None, method: str, metric: str, error: Exception
) -> None:
    result.failures.append(_failure(image, method, metric, error, str(error)))


def data_failure(error: Exception, n_images: int) -> dict[str, Any]:
    """Return the failure of a loader that raised after ``n_images`` images."""
    images = f"{n_images} image{'s' if n_images != 1 else ''}"
    return _failure(None, "", "", error, f"data raised after {images}: {error}")


def _failure(
    image: int | None, method: str, metric: str, error: Exception, message: str
) -> dict[str, Any]:
    return {
        "image": image,
        "method": method,
        "metric": metric,
        "error": type(error).__name__,
        "message": message,
    }


def logits_of(forward_func: Forward, inputs: Tensor) -> Tensor:
    """Return the logits of images; raise WrongModelError if the output is not logits."""
    with torch.no_grad():
        logits = forward_func(inputs)
    if not isinstance(logits, Tensor) or logits.dim() != 2 or logits.shape[1] < 2:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise WrongModelError(
            f"forward_func must return logits of shape (N, n_classes) with at least two classes; "
            f"got {shape}.{_hint(inputs)}"
        )
    if len(logits) != len(inputs):
        raise WrongModelError(
            f"forward_func must return logits for each of the {len(inputs)} images; got "
            f"{len(logits)}.{_hint(inputs)}"
        )
    if not torch.isfinite(logits).all():
        raise ValueError("forward_func gives logits that are not finite.")
    return logits


def _hint(inputs: Tensor) -> str:
    if inputs.dim() != 3:
        return ""
    return (
        f" data's images have shape {tuple(inputs.shape)}: if that is a single image, give "
        "image[None], which has the dimension of images."
    )


def _values(metric: Metric, case: Case) -> list[float]:
    # A copy, because a metric may change tensors in place.
    values = metric.function(case.copied())
    if not isinstance(values, Tensor) or tuple(values.shape) != (len(case.inputs),):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"A metric must return a tensor of one value for each image, shape "
            f"({len(case.inputs)},); got {shape}."
        )
    floats: list[float] = values.detach().double().tolist()
    return floats


@contextmanager
def isolated(seed: int, inputs: Tensor) -> Iterator[None]:
    """Seed torch's global generators, and restore their state afterwards."""
    device = inputs.device
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def _cost() -> Iterator[dict[str, Any]]:
    """Measure seconds, and bytes on the GPU in addition to those in use before."""
    cost: dict[str, Any] = {"seconds": NAN, "peak_memory": NAN}
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    before = 0
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    start = time.perf_counter()
    yield cost
    if on_gpu:
        torch.cuda.synchronize()
        cost["peak_memory"] = float(torch.cuda.max_memory_allocated() - before)
    cost["seconds"] = time.perf_counter() - start
