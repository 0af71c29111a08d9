"""One forward pass before a comparison, which finds errors that every image would raise."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from captum_clustered._ablation.hooks import Tensors, not_reached, record_layer
from captum_clustered._ablation.model_state.model import ModelState, layer_name
from captum_clustered._ablation.model_state.random_numbers import PrivateNumbers
from captum_clustered.comparison.batch import WrongModelError, logits_of
from captum_clustered.comparison.data import ImageBatch
from captum_clustered.comparison.forward import Forward
from captum_clustered.scores import model_of, probabilities_given

# Number of logits that identify a forward_func.
MOST_LOGITS = 1000


def probe(
    forward_func: Forward,
    layers: Sequence[Module],
    first: ImageBatch,
    at_input: bool,
    state: ModelState,
) -> list[float]:
    """
    Run the model on an image of the first batch and check the layers.

    Returns logits, and mean and standard deviation of each layer's values, which identify
    forward_func and layers; nothing if the model accepts no image.
    """
    # Single images first: one may be broken. The model may also need several at once.
    everything = list(range(len(first)))
    for indices in [*([i] for i in everything), everything]:
        images = first.select(indices).inputs
        try:
            with state.restored(), PrivateNumbers(0), ExitStack() as stack:
                records = [stack.enter_context(record_layer(each, at_input)) for each in layers]
                logits = logits_of(forward_func, images)
            with state.restored(), PrivateNumbers(0), torch.no_grad():
                remark = probabilities_given(forward_func, images, logits)
        except WrongModelError:
            raise
        except Exception:  # noqa: BLE001, S112
            # The comparison reports it for each image.
            continue
        if remark:
            warnings.warn(remark, stacklevel=3)
        device_ids = getattr(forward_func, "device_ids", None)
        found = [seen.gathered(device_ids) if seen.tensors else None for seen in records]
        # A function may run the layer in another thread or process, without hooks.
        if model_of(forward_func) is not None:
            for layer, tensors in zip(layers, found, strict=True):
                _check_layer(forward_func, layer, tensors, images)
        summary = [
            float(value)
            for tensors in found
            for tensor in tensors or ()
            if tensor.numel()
            for value in torch.std_mean(tensor.double(), correction=0)
        ]
        outputs = torch.tensor([*logits.flatten()[:MOST_LOGITS].tolist(), *summary])
        # NaN is not equal to itself.
        return torch.nan_to_num(outputs).tolist()
    return []


def _check_layer(
    forward_func: Callable[..., Any], layer: Module, tensors: Tensors | None, images: Tensor
) -> None:
    if tensors is None:
        raise not_reached(layer_name(forward_func, layer))
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if (
        len(shapes) != 1
        or len(shapes[0]) != images.dim()
        or len(shapes[0]) < 3
        or len(tensors[0]) != len(images)
    ):
        raise ValueError(
            f"layer {layer_name(forward_func, layer)} must have one map, (N, channels, *spatial) "
            f"with the images' number of dimensions; for images of shape {tuple(images.shape)} it "
            f"has {' and '.join(map(str, shapes)) or 'no floating-point tensor'}."
        )
