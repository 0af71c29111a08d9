"""Where a method's model is, and bringing it elsewhere."""

from __future__ import annotations

import platform

import torch
from torch.nn import Module

from captum_clustered._ablation import model
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM


def module_of(cam: ClusteredLayerCAM) -> Module:
    """Return the model, or the layer if a function hides the model."""
    return model.model_or_layer(cam.forward_func, cam.layer)


def device_of(cam: ClusteredLayerCAM) -> torch.device:
    """Return the device of the first parameter or buffer; the CPU if there is none."""
    return model.device_of(module_of(cam)) or torch.device("cpu")


def name_of(device: torch.device) -> str:
    """Kind and name, on which the last bits of results depend."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{device.type} ({kind})"
