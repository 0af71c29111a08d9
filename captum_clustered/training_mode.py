"""Forward passes of a model in training mode that leave no trace."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from captum_clustered.scores import model_of


def warn_if_training(forward_func: Callable[..., Any], layer: Module, stacklevel: int) -> None:
    """
    Warns if a module that behaves otherwise in training mode is in training mode.

    As everywhere in Captum, the mode is the user's choice, and we do not switch it.
    """
    active = sorted(
        {
            type(module).__name__
            for module in _modules(forward_func, layer)
            if module.training and isinstance(module, (_BatchNorm, _DropoutNd))
        }
    )
    if active:
        warnings.warn(
            f"The model is in training mode ({', '.join(active)}): scores depend on the rest of "
            "the batch or on chance, and so do attributions. Call model.eval() first.",
            stacklevel=stacklevel + 1,
        )


@contextmanager
def without_trace(forward_func: Callable[..., Any], layer: Module) -> Iterator[None]:
    """
    Restores what a forward pass in training mode changes: the running statistics of
    normalisation layers and the state of the random number generators.

    Several forward passes in a row are thereby the same but for what is ablated, so that
    Dropout's noise does not pass for importance. In evaluation mode it does nothing. Of
    a function that is no module, only the layer's own mode and buffers can be known.
    """
    training = [module for module in _modules(forward_func, layer) if module.training]
    if not training:
        yield
        return
    buffers = [
        (buffer, buffer.clone()) for module in training for buffer in module.buffers(recurse=False)
    ]
    devices = {
        parameter.device
        for module in training
        for parameter in module.parameters(recurse=False)
        if parameter.device.type == "cuda"
    }
    with torch.random.fork_rng(devices=sorted(devices, key=str)):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, saved in buffers:
                    buffer.copy_(saved)


def _modules(forward_func: Callable[..., Any], layer: Module) -> Iterator[Module]:
    model = model_of(forward_func)
    # Not `model or layer`: some modules have a length or refuse to have one.
    return (layer if model is None else model).modules()
