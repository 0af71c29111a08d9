"""The comparison of methods over images."""

from __future__ import annotations

import os
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Union

import torch
from captum._utils.progress import NullProgress, progress
from captum.attr import LayerAttribution
from torch import Tensor
from torch.nn import Module

from captum_clustered._ablation.model_state.model import (
    ModelState,
    device_of,
    layer_name,
    model_or_layer,
)
from captum_clustered._argument_checks import check_choice, check_int, check_type, is_int
from captum_clustered._storage.fingerprints import describe, hash_module, hash_tensor
from captum_clustered._version import __version__
from captum_clustered.comparison.batch import BatchRun
from captum_clustered.comparison.data import Data, ImageBatch, as_batch, batches
from captum_clustered.comparison.forward import GuardedForward
from captum_clustered.comparison.methods import METHODS, make_methods
from captum_clustered.comparison.metrics import Case, Metric, make_metrics
from captum_clustered.comparison.pictures import N_GALLERY, Pictures
from captum_clustered.comparison.probe import probe
from captum_clustered.comparison.registry import Factory, MethodInfo
from captum_clustered.comparison.result import Comparison
from captum_clustered.comparison.store import FIRST_IMAGE, OUTPUTS, BatchResult, ComparisonStore
from captum_clustered.data._originals import Original
from captum_clustered.data.batches import ImageBatches
from captum_clustered.metrics._registry import METRICS, MetricInfo
from captum_clustered.multi_layer_attribution import FUSIONS
from captum_clustered.scores import SCORES

MethodChoice = Union[str, Mapping[str, Union[LayerAttribution, Factory]]]
# Stands for the end of the data, which may hold None.
_END = object()
MetricChoice = Union[str, Mapping[str, Union[Metric, Callable[[Case], Tensor]]]]


def compare(
    forward_func: Callable[..., Tensor],
    layer: Module | Sequence[Module],
    data: Data,
    methods: MethodChoice | Iterable[MethodChoice] | None = None,
    metrics: MetricChoice | Iterable[MetricChoice] | None = None,
    *,
    score: str = "logit",
    target: str | int = "prediction",
    attribute_to_layer_input: bool = False,
    fusion: str = "mean",
    reference: str | None = "LayerGradCam",
    batch_size: int = 8,
    save_to: str | os.PathLike[str] | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> Comparison:
    r"""
    Compare class activation maps on the same images, layer and score.

    All methods explain the same score of the same class. All metrics of faithfulness measure
    the probability of that class: the softmax, or the sigmoid for score="sigmoid". Controls,
    which ignore the class, always run: a metric that a control wins is no evidence for any
    method.

    Images are processed one batch at a time. If an image, a method or a metric raises, the
    batch is processed image by image, and what is missing is in the ``failures`` of the
    result. The same holds if the data raise after the first batch. Metrics that need masks
    are NaN for empty masks. torch's global random generators are not used or changed; a
    method or metric that uses them gets the same numbers each time.

    The ranking of methods depends on model, images and score. Look at the controls, the
    intervals and the classes before you believe in a difference.

    Args:

        forward_func (Callable): Returns logits of shape (N, n_classes). It should be in
                    evaluation mode. It runs on copies of the images, and the model is
                    restored afterwards.
        layer (torch.nn.Module or list): Layer whose maps are computed;
                    usually the last convolutional one. The maps of several layers are fused by
                    :class:`captum_clustered.MultiLayerAttribution`, except those of a
                    ``LayerAttribution`` in ``methods``, which has a layer of its own.
                    Each layer must have one map, (N, channels, \*spatial). This
                    is checked first if forward_func is a module or a wrapper of
                    :mod:`captum_clustered.scores`.
        data (Tensor, tuple or Iterable): Images of shape (N, channels, \*spatial); a
                    tuple (images, labels\[, masks\]) of tensors; or an iterable of
                    batches, each a tensor or (images, labels\[, masks\]), such as a
                    DataLoader. Labels are integers (N,) or None. Masks are (N, 1,
                    \*spatial) or (N, \*spatial), positive inside the object. Batches are
                    moved to the model's device. Of
                    :class:`captum_clustered.data.ImageBatches`, figures show names and
                    original images.
        methods (list, dict or str, optional): Names, and dictionaries from a name to a
                    ``LayerAttribution`` or a function (forward_func, layer) that makes
                    one. Such a function gets the chosen score; a ``LayerAttribution``
                    explains its own forward_func. "ClusteredLayerCAM(clusterer=20)" and
                    the like set arguments of its constructor to literals;
                    "TestTimeAugmentation(LayerGradCam, views=['hflip'])" wraps a
                    method. Names are

                    $methods

                    Default: None (all that are not slow)
        metrics (list, dict or str, optional): Names, and dictionaries from a name to a
                    function that takes a :class:`Case` and returns one value per image, or
                    to a :class:`Metric`, which also has a direction. Names are

                    $metrics

                    Default: None (the default ones)
        score (str, optional): The explained score: "logit", or the name of a function of
                    :mod:`captum_clustered.scores`.
                    Default: "logit"
        target (str or int, optional): The explained class: the model's "prediction", the
                    "label" or a fixed class.
                    Default: "prediction"
        attribute_to_layer_input (bool, optional): Whether to explain the layer's input
                    instead of its output.
                    Default: False
        fusion (str, optional): How the maps of several layers are fused: "mean" or "max".
                    Default: "mean"
        reference (str, optional): The method that others are compared with, image by
                    image. It is added if it is not among the methods.
                    Default: "LayerGradCam"
        batch_size (int, optional): Images per batch, for data in tensors.
                    Default: 8
        save_to (str or PathLike, optional): A folder for finished batches. Called again
                    with the same arguments, the comparison resumes after them, with
                    identical results; a loader must give the same batches again. Failures
                    in finished batches are not tried again. Methods and metrics of the
                    user are identified by name only, forward_func also by its output for
                    the first image. The folder also holds small pictures, maps and
                    clusters for :func:`captum_clustered.report.write_report`.
                    Default: None
        seed (int, optional): Seed of everything random.
                    Default: 0
        show_progress (bool, optional): Displays the progress over the batches.
                    Default: True

    Returns:
        Comparison: Values of each image, their summary, tables and figures.

    Raises:

        TypeError: If an argument is of no accepted type.
        ValueError: If an argument is none of the accepted values, data is empty or its
                    shapes do not match, forward_func does not return logits, layer is not
                    called or has no map, or ``save_to`` holds another comparison.
        ImportError: If the package of a method is not installed.

    Warns:

        UserWarning: If something failed, forward_func is in training mode or seems to
                    return probabilities, or a file in ``save_to`` is damaged.

    Examples::

        >>> result = compare(net, net.layer4, (images, labels), seed=1)
        >>> print(result.to_markdown())
        >>> result.summary(by="class")
        >>> # Your own method and metric
        >>> compare(
        >>>     net,
        >>>     net.layer4,
        >>>     loader,
        >>>     ["ClusteredLayerCAM", {"mine": lambda f, layer: MyCAM(f, layer)}],
        >>>     ["average drop", {"spread": lambda case: case.attributions.std((1, 2, 3))}],
        >>>     save_to="results",
        >>> )
    """
    layers = [layer] if isinstance(layer, Module) else layer
    _check_arguments(forward_func, layers, score, target, reference)
    check_choice("fusion", fusion, FUSIONS)
    check_int("batch_size", batch_size, 1)
    check_int("seed", seed, 0)
    # JSON takes no integers of NumPy.
    batch_size, seed = int(batch_size), int(seed)
    target = target if isinstance(target, str) else int(target)
    stream, n_batches = batches(data, batch_size)
    first = _first(stream)
    if target == "label" and first.labels is None:
        raise ValueError("target='label' needs labels in data.")
    has_masks = first.masks is not None
    explained = SCORES[score].wrap(forward_func)
    chosen_methods = make_methods(methods, explained, layers, reference, has_masks, seed, fusion)
    chosen_metrics = make_metrics(metrics, has_masks)
    directions = {name: metric.direction for name, metric in chosen_metrics.items()}
    at_input, model = attribute_to_layer_input, model_or_layer(forward_func, layers[0])
    device, guarded = device_of(model), GuardedForward(forward_func)
    state = ModelState(forward_func, layers[0], (first.inputs,))
    run = BatchRun(guarded, state, chosen_methods, chosen_metrics, target, at_input, seed, score)
    outputs = probe(guarded, layers, first.to(device), at_input, state)
    state.warn_if_training(stacklevel=2)
    store = None
    if save_to is not None:
        settings = {
            "version": __version__,
            "forward_func": describe(forward_func),
            "model": hash_module(model),
            "layer": ", ".join(layer_name(forward_func, each) for each in layers),
            **({"fusion": fusion} if len(layers) > 1 else {}),
            "methods": {method.name: method.settings for method in chosen_methods},
            "metrics": directions,
            "score": score,
            "target": target,
            "attribute_to_layer_input": at_input,
            "batch_size": batch_size if isinstance(data, (Tensor, tuple)) else None,
            "seed": seed,
            FIRST_IMAGE: hash_tensor(first.inputs[:1]),
            OUTPUTS: outputs,
        }
        store = ComparisonStore(save_to, settings)
    found, gallery = [], []
    with progress(desc="comparison", total=n_batches) if show_progress else NullProgress() as bar:
        original = data.original if isinstance(data, ImageBatches) else None
        for result, pictures in _results(first, stream, run, store, device, original):
            found.append(result)
            gallery += pictures.gallery(result.images) if pictures else []
            bar.update(1)
    if store is not None:
        others = [f for result in found if not result.n_images for f in result.failures]
        store.finish(reference, sum(result.n_images > 0 for result in found), others)
    comparison = Comparison.from_batches(
        found,
        methods=[method.name for method in chosen_methods],
        directions=directions,
        reference=reference,
        seed=seed,
        gallery=gallery,
    )
    if isinstance(data, ImageBatches):
        _describe(comparison, data)
    if len(comparison.failures):
        warnings.warn(
            f"The comparison is not complete: {comparison.failures_in_words()} See failures.",
            stacklevel=2,
        )
    return comparison


def _describe(comparison: Comparison, data: ImageBatches) -> None:
    """Add what is known of images in files."""
    comparison.names, comparison.unread = data.names, data.failures
    comparison.classes = dict(enumerate(data.images.classes))
    for i, image in enumerate(comparison.gallery):
        original = data.original(image.number)
        if original is not None:
            comparison.gallery[i] = replace(image, **vars(original))


def _first(stream: Iterator[Any]) -> ImageBatch:
    item = next(stream, _END)
    if item is _END:
        raise ValueError("data must hold at least one batch; it is empty.")
    return as_batch(item)


def _results(
    first: ImageBatch,
    others: Iterator[Any],
    run: BatchRun,
    store: ComparisonStore | None,
    device: torch.device | None,
    original: Callable[[int], Original | None] | None,
) -> Iterator[tuple[BatchResult, Pictures | None]]:
    """Yield results of batches, and pictures of those that belong to the gallery."""
    start, index, batch = 0, 0, first
    while True:
        _check_like(batch, first)
        in_gallery = start < N_GALLERY
        stored, fingerprint = None, ""
        if store:
            fingerprint = batch.fingerprint()
            stored = store.load(index, fingerprint, len(batch), with_pictures=in_gallery)
        if stored is None:
            pictures = Pictures() if store or in_gallery else None
            result = run(index, start, batch.to(device), pictures)
            result.fingerprint, result.n_images = fingerprint, len(batch)
            if pictures and original:
                pictures.show([original(number) for number in result.numbers()])
            if store and pictures:
                store.save(index, result, pictures)
            stored = result, pictures if in_gallery else None
        start, index = start + len(batch), index + 1
        yield stored
        try:
            item = next(others, _END)
        except Exception as error:  # noqa: BLE001
            # It is not stored: a resumed comparison asks the loader again.
            result = BatchResult()
            where = f"data raised after {start} image{'s' if start != 1 else ''}: "
            result.fail("", "", None, error, where)
            yield result, None
            return
        if item is _END:
            return
        batch = as_batch(item)


def _check_arguments(
    forward_func: Any, layers: Any, score: Any, target: Any, reference: Any
) -> None:
    if not callable(forward_func):
        raise TypeError(f"forward_func must be callable; got {type(forward_func).__name__}.")
    each = layers if isinstance(layers, (list, tuple)) else [layers]
    for layer in each:
        check_type("layer", layer, Module, "a torch.nn.Module or a list of them")
    if not each:
        raise ValueError("layer must be a torch.nn.Module or a list of them; got an empty list.")
    if not isinstance(score, str) or score not in SCORES:
        raise ValueError(f"score={score!r} must be one of {', '.join(map(repr, SCORES))}.")
    # A tensor would be compared with the words element by element.
    words = ("prediction", "label")
    is_known = target in words if isinstance(target, str) else is_int(target) and target >= 0
    if not is_known:
        raise ValueError(
            f"target={target!r} must be 'prediction', 'label' or a class, an int of at least 0."
        )
    check_type("reference", reference, (str, type(None)), "the name of a method or None")


def _check_like(batch: ImageBatch, first: ImageBatch) -> None:
    for name in ("labels", "masks"):
        if (getattr(batch, name) is None) != (getattr(first, name) is None):
            raise ValueError(f"data must have {name} in all batches or in none.")


def _listed(names: Iterable[tuple[str, str]]) -> str:
    """Return pairs of a heading and a name as a list in Markdown, an item per heading."""
    items: dict[str, list[str]] = {}
    for heading, name in names:
        items.setdefault(heading, []).append(f'"{name}"'.replace(" ", "\xa0"))
    return "\n".join(
        textwrap.fill(f"- {heading}: {', '.join(found)}", 72, subsequent_indent="  ")
        for heading, found in items.items()
    ).replace("\xa0", " ")


def _kind(info: MethodInfo | MetricInfo) -> str:
    if isinstance(info, MethodInfo):
        return f"{info.source}, slow" if info.is_slow else info.source
    kind = "default" if info.is_default else "slow" if info.is_slow else "further"
    return f"{kind}, with masks" if info.takes("masks") else kind


if compare.__doc__:
    for placeholder, infos in (("$methods", METHODS), ("$metrics", METRICS)):
        names = _listed((_kind(info), name) for name, info in infos.items())
        names = textwrap.indent(names, " " * 20).lstrip()
        compare.__doc__ = compare.__doc__.replace(placeholder, names)
