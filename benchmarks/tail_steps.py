"""
What each step of the tail saves in an early layer: each is left out in turn, in one process.

    PYTHONPATH=benchmarks .venv/bin/python benchmarks/tail_steps.py --layers layer3 layer2
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from speed.calls import FORWARD, Case, clustered, forward, make_case
from speed.timing import ratios, seconds_of

from captum_clustered._ablation.single_pass import lazy_convolution
from captum_clustered._ablation.single_pass.tail_help import TailHelp

STEPS = {
    "none": (False, False, False),
    "first convolution from its clusters": (True, False, False),
    "channels last": (False, True, False),
    "channels last, norms in the weights": (False, True, True),
    "all": (True, True, True),
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


def _with(case: Case, lazy: bool, channels_last: bool, norms: bool) -> None:
    original = TailHelp._batch_norm

    def without_weights(self: Any, waiting: Any, images: Any, *args: Any, **kwargs: Any) -> Any:
        images = images if waiting is None else waiting.materialize()
        return original(self, None, images, *args, **kwargs)

    start = TailHelp.start if channels_last else lambda *_: None
    norm = original if norms else without_weights
    part = lazy_convolution.MAX_ABLATED if lazy else -1
    with (
        patch.object(TailHelp, "start", start),
        patch.object(TailHelp, "_batch_norm", norm),
        patch.object(lazy_convolution, "MAX_ABLATED", part),
    ):
        clustered(case)


if __name__ == "__main__":
    main()
