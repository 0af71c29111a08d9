"""Where a method's model is, and bringing it elsewhere."""

from __future__ import annotations

import itertools
import platform

import torch
from torch.nn import Module

from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.scores import model_of


def module_of(cam: ClusteredLayerCAM) -> Module:
    """The model, or the layer where a function hides it."""
    model = model_of(cam.forward_func)
    return cam.layer if model is None else model


def device_of(cam: ClusteredLayerCAM) -> torch.device:
    """The device of the first parameter or buffer; the CPU if there is none."""
    module = module_of(cam)
    for tensor in itertools.chain(module.parameters(), module.buffers()):
        return tensor.device
    return torch.device("cpu")


def name_of(device: torch.device) -> str:
    """Kind and name, on which the last bits of results depend."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{device.type} ({kind})"
