"""Cluster a layer's channels once for all images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from captum._utils.common import _run_forward
from torch import Tensor

from captum_clustered._ablation.hooks import LayerActivations, Tensors, not_reached, record_layer
from captum_clustered._ablation.layer_checks import check_finite, check_layer
from captum_clustered._ablation.model_state.arguments import CallArguments
from captum_clustered._ablation.model_state.model import ModelState, layer_name
from captum_clustered._ablation.model_state.random_numbers import PassNumbers
from captum_clustered._ablation.model_state.torch_settings import eager_mode, without_autocast
from captum_clustered._ablation.request import format_inputs
from captum_clustered._argument_checks import check_type
from captum_clustered._clustering.clusterers import Clusterer
from captum_clustered._clustering.features import ChannelGram, channel_first
from captum_clustered._layer_shapes import warn_if_channels_last
from captum_clustered._subclasses import plain

if TYPE_CHECKING:
    from captum_clustered.clustered_layer_cam import ClusteredLayerCAM

# Restarts of k-means: more than for a single image, because it runs only once.
FIT_RESTARTS = 10


def fit_labels(
    cam: ClusteredLayerCAM,
    clusterer: Clusterer,
    inputs: Any,
    additional_forward_args: object,
    attribute_to_layer_input: bool,
    stacklevel: int,
) -> Tensors:
    """
    Return labels (C,) for each of the layer's tensors, see ``cam.fit``.

    A warning of training mode is given at ``stacklevel``; 1 is the caller of this function.
    """
    batches = [inputs] if isinstance(inputs, (Tensor, tuple)) else inputs
    what = "a Tensor, a tuple of Tensors or an iterable of batches"
    check_type("inputs", batches, Iterable, what)
    name = layer_name(cam.forward_func, cam.layer)
    grams: list[ChannelGram] = []
    # The same for all batches, also if the model writes into them.
    arguments = CallArguments(additional_forward_args)
    with torch.no_grad(), eager_mode():
        for batch in batches:
            # A DataLoader of (image, label) yields lists.
            first = batch[0] if isinstance(batch, list) and batch else batch
            formatted = format_inputs(first)
            state = ModelState(cam.forward_func, cam.layer, formatted)
            numbers = PassNumbers(
                state.devices,
                state.is_training or cam._can_draw,
                is_parallel=len(cam._device_ids() or ()) > 1,
            )
            seen = numbers.evaluate(
                partial(
                    _recorded,
                    cam,
                    formatted,
                    additional_forward_args,
                    attribute_to_layer_input,
                    (arguments.one_pass, state.restored, numbers.one_pass),
                    is_whole=batch is inputs,
                )
            )
            state.warn_if_training(stacklevel + 1, numbers.were_drawn)
            if not seen.tensors:
                raise not_reached(name)
            tensors = tuple(map(plain, seen.gathered(cam._device_ids())))
            check_layer(tensors, len(formatted[0]), cam.channel_dim, name)
            check_finite(tensors, name)
            if not grams:
                warn_if_channels_last(tensors, formatted, cam.channel_dim, name, stacklevel + 1)
            grams = grams or [ChannelGram() for _ in tensors]
            if len(grams) != len(tensors):
                raise ValueError(f"layer {name} changed its number of tensors between batches.")
            for gram, tensor in zip(grams, tensors, strict=True):
                _add(gram, channel_first(tensor, cam.channel_dim), name)
        arguments.settle()
        if not grams:
            raise ValueError("inputs must contain at least one batch; got none.")
        return tuple(
            clusterer(gram.features()[None], index, FIT_RESTARTS)[0][0, 0]
            for index, gram in enumerate(grams)
        )


def _recorded(
    cam: ClusteredLayerCAM,
    batch: Tensors,
    arguments: object,
    attribute_to_layer_input: bool,
    contexts: Iterable[Callable[[], AbstractContextManager[None]]],
    is_whole: bool,
) -> LayerActivations:
    """Record the layer in a forward pass inside the contexts."""
    try:
        with record_layer(cam.layer, attribute_to_layer_input) as seen, ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context())
            _run_forward(cam.forward_func, batch, None, arguments)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:
        if not is_whole or len(batch) == 1:
            raise
        raise ValueError(
            f"inputs is a tuple of {len(batch)} tensors: one batch of {len(batch)} inputs of "
            f"forward_func, which fails on them: {error} Give several batches as a list."
        ) from error
    return seen


def _add(gram: ChannelGram, maps: Tensor, name: str) -> None:
    if gram.n_channels not in (None, maps.shape[1]):
        raise ValueError(
            f"layer {name} has {maps.shape[1]} channels on one batch and {gram.n_channels} on "
            "earlier batches; all batches must have the same number of channels."
        )
    with without_autocast(maps):
        gram.add(maps)
