"""The precision, the layout and the compiler with which a network runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Module

# Each may be joined to others by "+"; float32 is what holds without them.
WORDS = ("float32", "tf32", "bfloat16", "channels_last", "compiled")


def words_of(setting: str) -> set[str]:
    """
    Return the words of a setting like "bfloat16+channels_last".

    Raises:

        SystemExit: If a word is unknown.
    """
    words = set(setting.split("+"))
    if not words <= set(WORDS):
        raise SystemExit(f"--settings has {setting!r}; it joins some of {WORDS} by +.")
    return words


def prepared(setting: str, model: Module, inputs: Tensor) -> tuple[Module, Tensor]:
    """Return a model and its inputs in a setting."""
    words = words_of(setting)
    if "channels_last" in words:
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.to(memory_format=torch.channels_last)
    if "compiled" in words:
        model = torch.compile(model)  # type: ignore[assignment]
    return model, inputs


@contextmanager
def precision(setting: str, device: torch.device) -> Iterator[None]:
    """Compute in the precision of a setting inside the context."""
    words = words_of(setting)
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = "tf32" in words
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled="bfloat16" in words):
            yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before
