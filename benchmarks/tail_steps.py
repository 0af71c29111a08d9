"""
What each step of the tail saves in an early layer: each is left out in turn, in one process.

    PYTHONPATH=benchmarks .venv/bin/python benchmarks/tail_steps.py --layers layer3 layer2
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from speed.calls import FORWARD, Case, clustered, forward, make_case
from speed.timing import ratios, seconds_of
from torch import Tensor

from captum_clustered._ablation.single_pass import lazy_convolution, tail_help, vmap_pass
from captum_clustered._ablation.single_pass.convolutions import Convolution
from captum_clustered._ablation.single_pass.tail_help import TailHelp

STEPS = {
    "none": (False, False, False),
    "first convolution from its clusters": (True, False, False),
    "channels last": (False, True, False),
    "channels last, norms in the weights": (False, True, True),
    "all": (True, True, True),
    "all, ablated tail in bfloat16": (True, True, True, True),
}


def main() -> None:
    """Print a table for each layer."""
    parser = argparse.ArgumentParser(description="What each step of the tail saves.")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--layers", nargs="+", default=["layer3", "layer2"])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for layer in options.layers:
        case = make_case(options.model, 8, "cpu", layer=layer)
        calls: dict[str, Callable[[], object]] = {FORWARD: partial(forward, case)}
        calls |= {name: partial(_with, case, *steps) for name, steps in STEPS.items()}
        table = ratios(seconds_of(calls, options.rounds, torch.device("cpu")))
        print(f"\n{options.model}, {layer}\n\n{table.to_markdown(index=False, floatfmt='.2f')}")


def _with(case: Case, lazy: bool, channels_last: bool, norms: bool, bfloat16: bool = False) -> None:
    original = TailHelp._batch_norm

    def without_weights(self: Any, waiting: Any, images: Any, *args: Any, **kwargs: Any) -> Any:
        images = images if waiting is None else waiting.materialize()
        return original(self, None, images, *args, **kwargs)

    start = TailHelp.start if channels_last else lambda *_: True
    norm = original if norms else without_weights
    part = lazy_convolution.MAX_ABLATED if lazy else -1
    output = _output_in_bfloat16 if bfloat16 else tail_help._State._output
    with (
        patch.object(TailHelp, "start", start),
        patch.object(TailHelp, "_batch_norm", norm),
        patch.object(lazy_convolution, "MAX_ABLATED", part),
        patch.object(tail_help._State, "_output", output),
        patch.object(vmap_pass, "_after_error", _stop),
    ):
        clustered(case)


def _output_in_bfloat16(waiting: Any, convolution: Convolution) -> Tensor:
    """Convolve in bfloat16, except for the unablated images, which are the first."""
    images, waiting.images = waiting.images, None
    n_unablated = len(images) // waiting.batch.size
    shape = (len(images), *waiting.like.shape[1:])
    output = torch.empty(shape, memory_format=torch.channels_last)
    output[:n_unablated] = convolution(images[:n_unablated])
    bias = None if convolution.bias is None else convolution.bias.bfloat16()
    half = replace(convolution, weight=convolution.weight.bfloat16(), bias=bias)
    output[n_unablated:] = half(images[n_unablated:].bfloat16())
    packed: Tensor = waiting.batch.pack(output.unflatten(0, (waiting.batch.size, -1)))
    return packed


def _stop(request: Any, attempt: Any, run: Any, error: BaseException) -> None:
    """Stop, because otherwise a second pass would be measured, too."""
    raise SystemExit(f"The first pass has failed: {error}")


if __name__ == "__main__":
    main()
