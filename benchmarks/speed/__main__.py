"""
Time and memory of a class activation map as multiples of one plain forward pass.

    make bench ARGS="--models resnet50 mobilenet_v2 --batch-sizes 1 8 --memory --growth"
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import torch

from speed.calls import (
    FORWARD,
    LAYERS,
    chosen,
    make_calls,
    make_case,
    make_per_channel_calls,
)
from speed.growth import growth
from speed.memory import peak_memory
from speed.settings import WORDS, precision
from speed.timing import ratios, seconds_of

# One call of them takes as long as hundreds of the others.
SLOW_ROUNDS = 1


def main() -> None:
    """Print a table for each model and batch size, and write all of them as JSON."""
    parser = argparse.ArgumentParser(prog="speed", description="What a map costs.")
    parser.add_argument("--models", nargs="+", default=["resnet50"], choices=sorted(LAYERS))
    parser.add_argument("--layers", nargs="+", help="The layer of each model; else the last.")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[8])
    parser.add_argument(
        "--settings",
        nargs="+",
        default=["float32"],
        help=f"Each joins some of {', '.join(WORDS)}, as in bfloat16+channels_last.",
    )
    parser.add_argument("--methods", nargs="+", help="Some of the table's rows; else all.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", action="store_true", help="Also the peak memory.")
    parser.add_argument("--growth", action="store_true", help="Also how the cost grows.")
    parser.add_argument(
        "--per-channel",
        action="store_true",
        help="Also other libraries' AblationCAM and ScoreCAM, on one image: minutes.",
    )
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"))
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    place = torch.device(device)
    found: dict[str, Any] = {"machine": _machine(device), "tables": {}}
    print(", ".join(f"{name} {value}" for name, value in found["machine"].items()))
    layers = options.layers or [LAYERS[model] for model in options.models]
    if len(layers) != len(options.models):
        parser.error("--layers needs one layer for each of --models.")
    for model, layer in zip(options.models, layers, strict=True):
        for setting, size in itertools.product(options.settings, options.batch_sizes):
            case = make_case(model, size, device, layer, setting)
            calls = chosen(make_calls(case), options.methods)
            with precision(setting, place):
                table = ratios(seconds_of(calls, options.rounds, place))
            if options.memory:
                threads = torch.get_num_threads()
                memory = peak_memory(
                    list(calls), (model, layer), size, device, threads, setting=setting
                )
                table["MiB"] = table["method"].map(memory)
                table["memory ratio"] = table["MiB"] / memory[FORWARD]
            _show(found, f"{model}, {layer}, {setting}, N = {size}, {options.rounds} rounds", table)
        if options.per_channel:
            calls = make_per_channel_calls(make_case(model, 1, device, layer=layer))
            table = ratios(seconds_of(calls, SLOW_ROUNDS, place))
            _show(found, f"{model}, {layer}, one image, {SLOW_ROUNDS} round", table)
    if options.growth:
        _show(found, "time beyond the forward pass", growth(options.rounds, device))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _show(found: dict[str, Any], title: str, table: pd.DataFrame) -> None:
    found["tables"][title] = table.to_dict("records")
    print(f"\n{title}\n\n{table.to_markdown(index=False, floatfmt='.2f')}", flush=True)


def _machine(device: str) -> dict[str, str]:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    return {
        "device": name,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
