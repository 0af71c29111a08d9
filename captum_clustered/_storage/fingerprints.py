"""Hashes and descriptions that tell whether stored results belong to the same computation."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from typing import Any

import torch
from captum.attr import LayerAttribution
from torch import Tensor
from torch.nn import Module

from captum_clustered.scores import ScoreWrapper
from captum_clustered.views import View


def hash_tensor(tensor: Tensor) -> str:
    """Return a hash of a tensor's values, shape and dtype."""
    values = tensor.detach().cpu().contiguous()
    found = hashlib.blake2b(f"{tuple(values.shape)} {values.dtype}".encode(), digest_size=16)
    if values.numel():
        found.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def hash_module(module: Module) -> str:
    """Return a hash of all parameters and buffers with their names, shapes and dtypes."""
    found = hashlib.blake2b(digest_size=16)
    for name, value in module.state_dict().items():
        text = hash_tensor(value) if isinstance(value, Tensor) else repr(value)
        found.update(f"{name} {text} ".encode())
    return found.hexdigest()


def hash_names(names: Iterable[object]) -> str:
    """Return a hash of a sequence of texts or numbers."""
    found = hashlib.blake2b(digest_size=16)
    for name in names:
        text = str(name).encode("utf-8", errors="surrogatepass")
        found.update(b"%d:%s" % (len(text), text))
    return found.hexdigest()


def qualified_name(thing: Any) -> str:
    """Return module and name of a function or class, or of an object's class."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"


def describe(value: Any) -> str:
    """
    Describe a forward function or an attribution method, alike in every process.

    A score names its transform, a ``functools.partial`` its function, and a method its plain
    settings, its views and the methods that it wraps; other objects have their qualified name
    only.
    """
    if isinstance(value, ScoreWrapper):
        return f"{value.transform.__name__.strip('_')} of {describe(value.forward_func)}"
    if isinstance(value, functools.partial):
        return f"partial of {describe(value.func)}"
    if not isinstance(value, LayerAttribution):
        return qualified_name(value)
    plain = {
        key: _described(setting)
        for key, setting in sorted(vars(value).items())
        if isinstance(setting, (bool, int, float, str, type(None), LayerAttribution))
        or (
            isinstance(setting, tuple)
            and all(isinstance(part, (int, View, LayerAttribution)) for part in setting)
        )
    }
    return f"{qualified_name(value)} {plain}"


def _described(setting: Any) -> Any:
    if isinstance(setting, tuple):
        return tuple(map(_described, setting))
    return describe(setting) if isinstance(setting, LayerAttribution) else setting
