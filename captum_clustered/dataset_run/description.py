"""What runs need to know about a method: its settings, its model and the device."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from captum_clustered._ablation.model_state import model
from captum_clustered._storage.fingerprints import (
    describe,
    hash_module,
    hash_names,
    hash_tensor,
    qualified_name,
)
from captum_clustered._version import __version__
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM


def module_of(cam: ClusteredLayerCAM) -> Module:
    """Return the model, or the layer if a function hides the model."""
    return model.model_or_layer(cam.forward_func, cam.layer)


def device_of(cam: ClusteredLayerCAM) -> torch.device:
    """Return the device of the first parameter or buffer; the CPU if there is none."""
    return model.device_of(module_of(cam)) or torch.device("cpu")


def device_name(device: torch.device) -> str:
    """Return kind and name of a device, which the last bits of results depend on."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{device.type} ({kind})"


def describe_method(cam: ClusteredLayerCAM) -> dict[str, Any]:
    """Return a method's settings and a hash of its model's weights, as JSON values."""
    module = module_of(cam)
    names = [name for name, part in module.named_modules() if part is cam.layer]
    return {
        "model": qualified_name(module),
        "weights": hash_module(module),
        "score": describe(cam.forward_func),
        "layer": names[0] if names else qualified_name(cam.layer),
        "clusterer": _clusterer(cam),
        "scaling": cam.scaling,
        "importance": cam.importance,
        "n_clusterings": int(cam.n_clusterings),
        "n_samples": int(cam.n_samples),
        "seed": int(cam.seed),
        "channel_dim": int(cam.channel_dim),
    }


def made_with(device: str) -> dict[str, str]:
    """Return versions and the device, which the last bits of results depend on."""
    return {
        "captum_clustered": __version__,
        "captum": version("captum"),
        "torch": torch.__version__,
        "device": device,
    }


def _clusterer(cam: ClusteredLayerCAM) -> Any:
    if cam._fitted is not None:
        return f"fitted {_labels(cam.labels_)}"
    clusterer = cam.clusterer
    if isinstance(clusterer, (Tensor, tuple)):
        return f"fixed {_labels(clusterer)}"
    if clusterer is None:
        return "each channel"
    if isinstance(clusterer, (int, np.integer)):
        return int(clusterer)
    # The repr of scikit-learn's estimators shows their parameters; that of a function an address.
    return getattr(clusterer, "__qualname__", None) or repr(clusterer)


def _labels(labels: Tensor | tuple[Tensor, ...]) -> str:
    tensors = labels if isinstance(labels, tuple) else (labels,)
    return hash_names(map(hash_tensor, tensors))
