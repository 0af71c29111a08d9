"""All methods and metrics on one batch, whatever fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, Union

import torch
from torch import Tensor

from captum_clustered.comparison.case import Case, remembered_probability, seed_of
from captum_clustered.comparison.data import Batch
from captum_clustered.comparison.forward import Forward
from captum_clustered.comparison.gallery import N_IMAGES, maps_of, picture
from captum_clustered.comparison.measures import Metric
from captum_clustered.comparison.methods import Method
from captum_clustered.comparison.store import BatchResult

T = TypeVar("T")
Target = Union[str, int]
NAN = float("nan")


@dataclass
class BatchRun:
    """
    Attributes:

        forward_func (Callable): Returns logits.
        methods (list): The methods.
        metrics (dict): The metrics by name.
        target (str or int): "prediction", "label" or a class.
        at_input (bool): Whether the layer's input is meant.
        seed (int): Seed of everything.
    """

    forward_func: Forward
    methods: list[Method]
    metrics: dict[str, Metric]
    target: Target
    at_input: bool
    seed: int

    def __call__(self, index: int, start: int, batch: Batch) -> BatchResult:
        """The results of a batch whose first image has the number ``start``."""
        result = BatchResult()
        whole = batch
        numbers = list(range(start, start + len(whole)))
        parts = _piecewise(
            lambda indices: _logits(self.forward_func, whole.select(indices).inputs),
            len(whole),
            lambda i, error: _fail(result, numbers[i], "", "", error),
        )
        if not parts:
            return result
        indices, logits = _joined(parts)
        batch = whole.select(indices)
        numbers = [numbers[i] for i in indices]
        predictions = logits.argmax(1)
        target = self._target(predictions, batch, logits.shape[1])
        result.images = [
            {
                "image": numbers[i],
                "label": None if batch.labels is None else int(batch.labels[i]),
                "prediction": int(predictions[i]),
                "target": int(target[i]),
            }
            for i in range(len(numbers))
        ]
        n_shown = sum(number < N_IMAGES for number in numbers) if batch.inputs.dim() == 4 else 0
        result.gallery = [
            {"image": numbers[i], "picture": picture(batch.inputs[i]), "maps": {}}
            for i in range(n_shown)
        ]
        probability = remembered_probability(self.forward_func, len(batch))
        for method in self.methods:
            self._run_method(method, batch, target, probability, index, result)
        return result

    def _target(self, predictions: Tensor, batch: Batch, n_classes: int) -> Tensor:
        if self.target == "prediction":
            return predictions
        if self.target == "label":
            if batch.labels is None:
                raise ValueError("target='label' needs labels in data.")
            target = batch.labels.to(predictions.device)
        else:
            target = torch.full_like(predictions, int(self.target))
        if target.min() < 0 or target.max() >= n_classes:
            raise ValueError(
                f"target must be a class from 0 to {n_classes - 1}, of which forward_func returns "
                f"{n_classes}; got {self.target!r} with classes {sorted(set(target.tolist()))}."
            )
        return target

    def _run_method(
        self,
        method: Method,
        batch: Batch,
        target: Tensor,
        probability: Forward,
        index: int,
        result: BatchResult,
    ) -> None:
        numbers = [image["image"] for image in result.images]

        def explain(part: Batch, part_target: Tensor) -> Tensor:
            return method.explain(part, part_target, self.at_input)

        rows = method.rows()
        with _isolated(seed_of(self.seed, index, method.name), batch), _cost() as cost:
            parts = _piecewise(
                lambda indices: explain(batch.select(indices), target[indices]),
                len(batch),
                lambda i, error: _fail(result, numbers[i], method.name, "", error),
            )
        if not parts:
            return
        indices, maps = _joined(parts)
        cost |= {"rows": method.rows() - rows, "images": len(indices)}
        result.costs[method.name] = cost
        part = batch.select(indices)
        for i, packed in zip(
            indices, maps_of(maps, part.inputs) if result.gallery else [], strict=False
        ):
            if i < len(result.gallery):
                result.gallery[i]["maps"][method.name] = packed
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
        for name, metric in self.metrics.items():
            self._run_metric(name, metric, case, indices, index, result)
        result.curves[method.name] = {
            name: {"n": len(curve), "sum": curve.double().sum(0).tolist()}
            for name, curve in case.curves.items()
        }

    def _run_metric(
        self,
        name: str,
        metric: Metric,
        case: Case,
        indices: list[int],
        index: int,
        result: BatchResult,
    ) -> None:
        numbers = [result.images[i]["image"] for i in indices]
        values: list[float | None] = [None] * len(result.images)
        seed = seed_of(self.seed, index, case.method, name)
        with _isolated(seed, case), _cost() as cost:
            parts = _piecewise(
                lambda some: _values(metric, case.select(some)),
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
    The function on all of n examples or, should that fail, on each by itself.

    Gives the examples that it worked for, with its results.
    """
    everything = list(range(n))
    if n > 1:
        try:
            return [(everything, function(everything))]
        except Exception:  # noqa: BLE001, S110
            # Which example it is shows below.
            pass
    parts = []
    for i in everything:
        try:
            parts.append(([i], function([i])))
        except Exception as error:  # noqa: BLE001
            failed(i, error)
    return parts


def _joined(parts: list[tuple[list[int], Tensor]]) -> tuple[list[int], Tensor]:
    indices = [i for some, _ in parts for i in some]
    return indices, torch.cat([tensor for _, tensor in parts])


def _fail(
    result: BatchResult, image: int | None, method: str, metric: str, error: Exception
) -> None:
    result.failures.append(
        {
            "image": image,
            "method": method,
            "metric": metric,
            "error": type(error).__name__,
            "message": str(error),
        }
    )


def _logits(forward_func: Forward, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        logits = forward_func(inputs)
    if not isinstance(logits, Tensor) or logits.dim() != 2 or logits.shape[1] < 2:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise _WrongModelError(
            f"forward_func must return logits of shape (N, n_classes) with at least two classes; "
            f"got {shape}."
        )
    if len(logits) != len(inputs):
        raise _WrongModelError(
            f"forward_func must return logits for each of the {len(inputs)} images; got "
            f"{len(logits)}."
        )
    if not torch.isfinite(logits).all():
        raise ValueError("forward_func gives logits that are not finite.")
    return logits


class _WrongModelError(BaseException):
    """A mistake that no other image mends."""


def _values(metric: Metric, case: Case) -> list[float]:
    values = metric.function(case)
    if not isinstance(values, Tensor) or tuple(values.shape) != (len(case.inputs),):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"A metric must return a tensor of one value for each image, shape "
            f"({len(case.inputs)},); got {shape}."
        )
    floats: list[float] = values.detach().double().tolist()
    return floats


@contextmanager
def _isolated(seed: int, batch: Batch | Case) -> Iterator[None]:
    """Gives torch's own generators a seed for a while, and their state back."""
    device = batch.inputs.device
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def _cost() -> Iterator[dict[str, Any]]:
    """Seconds, and bytes on the GPU on top of those in use before."""
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
