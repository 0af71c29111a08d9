"""What tells one run from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from captum_clustered import ClusteredLayerCAM, __version__
from captum_clustered.scores import _Score, model_of


def hash_of_weights(module: Module) -> str:
    """Of all parameters and buffers, with their names, shapes and types."""
    found = hashlib.sha256()
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor):
            found.update(_bytes_of(name, value))
        else:
            found.update(f"{name} {value!r}".encode())
    return found.hexdigest()


def hash_of_names(names: Iterable[object]) -> str:
    """Of texts or numbers in their order."""
    found = hashlib.sha256()
    for name in names:
        text = str(name).encode("utf-8", errors="surrogatepass")
        found.update(b"%d:%s" % (len(text), text))
    return found.hexdigest()


def describe(cam: ClusteredLayerCAM) -> dict[str, Any]:
    """A method's settings and its model, as JSON has them."""
    model = model_of(cam.forward_func)
    module = cam.layer if model is None else model
    names = [name for name, part in module.named_modules() if part is cam.layer]
    return {
        "model": _name(module),
        "weights": hash_of_weights(module),
        "score": _score(cam.forward_func),
        "layer": names[0] if names else _name(cam.layer),
        "clusterer": _clusterer(cam),
        "scaling": cam.scaling,
        "importance": cam.importance,
        "n_clusterings": int(cam.n_clusterings),
        "n_samples": int(cam.n_samples),
        "seed": int(cam.seed),
        "channel_dim": int(cam.channel_dim),
    }


def made_with(device: str) -> dict[str, str]:
    """Versions and the device, on which the last bits of results depend."""
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
    if isinstance(clusterer, int):
        return int(clusterer)
    # scikit-learn's estimators show their parameters; functions show only an address.
    return getattr(clusterer, "__qualname__", None) or repr(clusterer)


def _labels(labels: Tensor | tuple[Tensor, ...]) -> str:
    tensors = labels if isinstance(labels, tuple) else (labels,)
    return hashlib.sha256(b"".join(_bytes_of("", each) for each in tensors)).hexdigest()[:16]


def _score(forward_func: Any) -> str:
    transforms = []
    while isinstance(forward_func, _Score):
        transforms.append(forward_func.transform.__name__.lstrip("_"))
        forward_func = forward_func.forward_func
    return " of ".join([*(transforms or ["output"]), _name(forward_func)])


def _name(thing: Any) -> str:
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


def _bytes_of(name: str, value: Tensor) -> bytes:
    flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return f"{name} {tuple(value.shape)} {value.dtype}".encode() + flat.numpy().tobytes()
