"""The comparison of methods over images."""

from __future__ import annotations

import hashlib
import operator
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Union

import torch
from captum._utils.progress import progress
from captum.attr import LayerAttribution
from torch import Tensor
from torch.nn import Module

from captum_clustered._ablation.model import ModelState, device_of, layer_name, model_or_layer
from captum_clustered._version import __version__
from captum_clustered.comparison.batch import BatchRun, WrongModelError, data_failure
from captum_clustered.comparison.case import Case
from captum_clustered.comparison.data import Batch, Data, DataError, batches
from captum_clustered.comparison.forward import GuardedForward, digest
from captum_clustered.comparison.methods import Factory, describe, make_methods
from captum_clustered.comparison.metrics import Metric, make_metrics
from captum_clustered.comparison.pictures import Pictures
from captum_clustered.comparison.probe import probe
from captum_clustered.comparison.result import Comparison
from captum_clustered.comparison.store import FIRST_IMAGE, OUTPUTS, BatchResult, Store
from captum_clustered.scores import SCORES

MethodChoice = Union[str, Mapping[str, Union[LayerAttribution, Factory]]]
MetricChoice = Union[str, Mapping[str, Union[Metric, Callable[[Case], Tensor]]]]


def compare(
    forward_func: Callable[..., Tensor],
    layer: Module,
    data: Data,
    methods: MethodChoice | Iterable[MethodChoice] | None = None,
    metrics: MetricChoice | Iterable[MetricChoice] | None = None,
    *,
    score: str = "logit",
    target: str | int = "prediction",
    attribute_to_layer_input: bool = False,
    reference: str | None = "LayerGradCam",
    batch_size: int = 8,
    save_to: str | os.PathLike[str] | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> Comparison:
    r"""
    Compares class activation maps on the same images, layer and score.

    All methods explain the same score of the same class; all metrics of faithfulness are
    measured in its probability. Next to the methods stand controls that explain nothing:
    "Fake-CAM" (one everywhere but in one pixel), "random", "center Gaussian", "mean
    activation" and, if there are masks, "mask". They cannot be left out, for a metric
    that one of them wins does not speak for a method.

    Images are taken one batch at a time. An image that the model cannot take or whose
    label is no class, and a method or metric that raises, do not stop the rest: the batch
    is then taken image by image, and what is missing is in the result's ``failures``, as
    it is if the data raise after the first batch. Metrics of masks are NaN for empty
    masks. torch's global random number generators are neither used nor changed; a method
    or metric that draws from them is given the same numbers each time.

    Ranks of methods on one model and one kind of image say little about others, and what
    is best at one score need not be at another: see :attr:`Comparison.controls`,
    intervals and classes before believing in a difference.

    Args:

        forward_func (Callable): Returns logits of shape (N, n_classes). It should be in
                    evaluation mode. It runs on copies of the images, and the model is
                    left as it was.
        layer (torch.nn.Module): Layer for which maps are computed; usually the last
                    convolutional one. It must be called and give one map (N, channels,
                    \*spatial), which is checked beforehand if forward_func is a module or
                    a wrapper of :mod:`captum_clustered.scores`.
        data (Tensor, tuple or Iterable): Images of shape (N, channels, \*spatial); a
                    tuple (images, labels\[, masks\]) of tensors; or an iterable of
                    batches, each a tensor or (images, labels\[, masks\]), such as a
                    DataLoader. Labels are integers (N,) or None, masks (N, 1, \*spatial) or
                    (N, \*spatial), positive inside the object. Each batch is moved to
                    the model's device.
        methods (list, dict or str, optional): Names, and dictionaries of a name and a
                    ``LayerAttribution`` or a function (forward_func, layer) that makes
                    one. Such a function is given the chosen score; a ``LayerAttribution``
                    explains what its own forward_func returns. Names are

                    - "ClusteredLayerCAM", and with any of its variants after commas:
                      "ClusteredLayerCAM, n_clusterings 10", ", 20 clusters", ", shapley",
                      ", drop"
                    - Captum's "LayerGradCam", "LayerGradientXActivation" (HiResCAM) and
                      "LayerFeatureAblation" by channel (Ablation-CAM)
                    - with grad-cam installed, its "GradCAM++", "LayerCAM", "EigenCAM",
                      "ScoreCAM" and "AblationCAM", on a copy of the model

                    Default: None (all but those that run the model for each channel:
                    LayerFeatureAblation, ScoreCAM and AblationCAM)
        metrics (list, dict or str, optional): Names, and dictionaries of a name and a
                    function that takes a :class:`Case` and returns one value for each
                    image, or a :class:`Metric`, which also says which values are better.
                    Names are

                    - "average drop", "increase in confidence" and "average gain", which
                      fill with zero, each also with " 50%" (only the better half of the
                      pixels is kept, entirely), " (mean)" or " (blur)", in this order
                    - "insertion", "deletion", "insertion - deletion" (curves of ten
                      steps), "complexity", "coherency", "ADCC", "infidelity" (Captum's, normalized)
                    - slow: "ROAD" and "max-sensitivity" (Captum's, of the positive part)
                    - with masks "pointing game", "energy in mask", "IoU", "energy
                      lesion" (the same as "energy in mask"), "energy ring" and "energy
                      background"

                    Default: None (all but the slow ones, variants of both kinds and
                    "energy in mask")
        score (str, optional): What is explained: "logit", "margin", "probability" or
                    "log_probability", see :mod:`captum_clustered.scores`.
                    Default: "logit"
        target (str or int, optional): The class that is explained: the model's
                    "prediction", the "label" or always the same.
                    Default: "prediction"
        attribute_to_layer_input (bool, optional): Whether the layer's input is meant
                    instead of its output.
                    Default: False
        reference (str, optional): The method that others are compared with, image by
                    image. If it is known but not among the methods, it is added.
                    Default: "LayerGradCam"
        batch_size (int, optional): Images at a time, for data in tensors.
                    Default: 8
        save_to (str or PathLike, optional): A folder where each finished batch is kept.
                    Started again with the same arguments, the comparison goes on with the
                    first batch that is missing, and its table is the same to the last
                    bit; a loader must give the same batches again. What failed in a
                    finished batch is not tried again. Methods and metrics of the user's
                    are told from others by their names alone, forward_func also by what
                    it returns for the first image. Small pictures, all maps and the
                    clusters behind those of a ClusteredLayerCAM are kept, too, for
                    :func:`captum_clustered.report.write_report`.
                    Default: None
        seed (int, optional): Seed of everything that is random.
                    Default: 0
        show_progress (bool, optional): Displays the progress over the batches.
                    Default: True

    Returns:
        Comparison: Results of each image, their summary, tables and figures.

    Raises:

        TypeError: If an argument is of no accepted kind.
        ValueError: If an argument is not one of the values above, if data is empty or its
                    tensors do not go together, if forward_func does not return logits, if
                    layer is not called or gives no map, or if ``save_to`` has another
                    comparison's results.
        ImportError: If a method is asked for whose package is not installed.

    Warns:

        UserWarning: If something failed, if forward_func is in training mode or seems to
                    return probabilities, or if a file in ``save_to`` is damaged.

    Examples::

        >>> result = compare(net, net.layer4, (images, labels), seed=1)
        >>> print(result.to_markdown())
        >>> result.summary(by="class")
        >>> # A method and a metric of one's own
        >>> compare(
        >>>     net,
        >>>     net.layer4,
        >>>     loader,
        >>>     ["ClusteredLayerCAM", {"mine": lambda f, layer: MyCAM(f, layer)}],
        >>>     ["average drop", {"spread": lambda case: case.attributions.std((1, 2, 3))}],
        >>>     save_to="results",
        >>> )
    """
    _check_arguments(forward_func, layer, score, target, reference)
    batch_size, seed = _integer("batch_size", batch_size, 1), _integer("seed", seed, 0)
    if not isinstance(target, str):
        target = operator.index(target)
    stream, n_batches = batches(data, batch_size)
    first = _first(stream)
    if target == "label" and first.labels is None:
        raise ValueError("target='label' needs labels in data.")
    has_masks = first.masks is not None
    chosen_methods = make_methods(
        methods, SCORES[score].wrap(forward_func), layer, reference, has_masks, seed
    )
    chosen_metrics = make_metrics(metrics, has_masks)
    device = device_of(model_or_layer(forward_func, layer))
    guarded = GuardedForward(forward_func)
    state = ModelState(forward_func, layer, (first.inputs,))
    run = BatchRun(
        guarded, state, chosen_methods, chosen_metrics, target, attribute_to_layer_input, seed
    )
    results = []
    bar = None
    try:
        outputs = probe(
            guarded,
            layer,
            first if device is None else first.to(device),
            attribute_to_layer_input,
            state,
        )
        state.warn_if_training(stacklevel=2)
        store = None
        if save_to is not None:
            settings = {
                "version": __version__,
                "forward_func": describe(forward_func),
                "model": _model_fingerprint(forward_func, layer),
                "layer": layer_name(forward_func, layer),
                "methods": {method.name: method.settings for method in chosen_methods},
                "metrics": {name: metric.direction for name, metric in chosen_metrics.items()},
                "score": score,
                "target": target,
                "attribute_to_layer_input": attribute_to_layer_input,
                "batch_size": batch_size if isinstance(data, (Tensor, tuple)) else None,
                "seed": seed,
                FIRST_IMAGE: digest(first.inputs[:1]),
                OUTPUTS: outputs,
            }
            store = Store(save_to, settings)
        bar = progress(desc="comparison", total=n_batches) if show_progress else None
        for result in _results(first, stream, run, store, device):
            results.append(result)
            if bar is not None:
                bar.update(1)
        if store is not None:
            of_batches = [result for result in results if result.n_images]
            others = [f for result in results if not result.n_images for f in result.failures]
            store.finish(reference, len(of_batches), others)
    except WrongModelError as error:
        raise ValueError(str(error)) from None
    finally:
        if bar is not None:
            bar.close()
    comparison = Comparison.from_batches(
        results,
        methods=[method.name for method in chosen_methods],
        controls=[method.name for method in chosen_methods if method.is_control],
        directions={name: metric.direction for name, metric in chosen_metrics.items()},
        reference=reference,
        seed=seed,
    )
    if len(comparison.failures):
        warnings.warn(
            f"The comparison is not complete: {comparison.failures_in_words()} See failures.",
            stacklevel=2,
        )
    return comparison


def _first(stream: Iterator[Batch]) -> Batch:
    try:
        first = next(stream, None)
    except DataError as error:
        # There is nothing that would be lost by stopping here.
        raise error.cause from None
    if first is None:
        raise ValueError("data must hold at least one batch; it is empty.")
    return first


def _results(
    first: Batch,
    others: Iterator[Batch],
    run: BatchRun,
    store: Store | None,
    device: torch.device | None,
) -> Iterator[BatchResult]:
    start, index = 0, 0
    batch: Batch | None = first
    while batch is not None:
        _check_like(batch, first)
        fingerprint = batch.fingerprint() if store else ""
        result = store.load(index, fingerprint, len(batch)) if store else None
        if result is None:
            pictures = Pictures() if store else None
            result = run(index, start, batch if device is None else batch.to(device), pictures)
            result.fingerprint, result.n_images = fingerprint, len(batch)
            if store and pictures:
                store.save(index, result, pictures)
        start, index = start + len(batch), index + 1
        yield result
        try:
            batch = next(others, None)
        except DataError as error:
            # Not stored: when the comparison goes on, the loader is asked again.
            yield BatchResult(failures=[data_failure(error.cause, start)])
            return


def _check_arguments(
    forward_func: Any, layer: Any, score: Any, target: Any, reference: Any
) -> None:
    if not callable(forward_func):
        raise TypeError(f"forward_func must be callable; got {type(forward_func).__name__}.")
    if not isinstance(layer, Module):
        raise TypeError(f"layer must be a torch.nn.Module; got {type(layer).__name__}.")
    if not isinstance(score, str) or score not in SCORES:
        raise ValueError(f"score={score!r} must be one of {', '.join(map(repr, SCORES))}.")
    # Of a string or not, for a tensor is compared with one element by element.
    words = ("prediction", "label")
    if not (target in words if isinstance(target, str) else _is_int(target, 0)):
        raise ValueError(
            f"target={target!r} must be 'prediction', 'label' or a class, an int of at least 0."
        )
    if reference is not None and not isinstance(reference, str):
        raise TypeError(
            f"reference must be the name of a method or None; got {type(reference).__name__}."
        )


def _integer(name: str, value: Any, minimum: int) -> int:
    if not _is_int(value, minimum):
        raise ValueError(f"{name}={value!r} must be an int of at least {minimum}.")
    return operator.index(value)


def _is_int(value: Any, minimum: int) -> bool:
    """Whether it is an integer, be it Python's, numpy's or a tensor of one."""
    try:
        return not isinstance(value, bool) and operator.index(value) >= minimum
    except (TypeError, ValueError):
        return False


def _check_like(batch: Batch, first: Batch) -> None:
    for name, part, other in zip(
        ("labels", "masks"), batch.tensors()[1:], first.tensors()[1:], strict=True
    ):
        if (part is None) != (other is None):
            raise ValueError(f"data must have {name} in all batches or in none.")


def _model_fingerprint(forward_func: Any, layer: Module) -> str:
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in model_or_layer(forward_func, layer).state_dict().items():
        if isinstance(tensor, Tensor):
            found.update(f"{name} {digest(tensor)} ".encode())
    return found.hexdigest()
