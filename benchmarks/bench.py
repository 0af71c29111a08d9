"""
Time of a class activation map as a multiple of one plain forward pass.

All methods take turns in one process, so that a busy machine slows them alike; each
ratio is the median over rounds of the method's time over the forward pass's of the same
round.

    python benchmarks/bench.py --models resnet50 mobilenet_v2 --batch-size 8
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from captum.attr import LayerFeatureAblation, LayerGradCam
from torch import Tensor
from torch.nn import Module
from torchvision import models

from captum_clustered import ClusteredLayerCAM

LAYERS = {
    "resnet50": "layer4",
    "vgg16": "features",
    "densenet121": "features",
    "efficientnet_b0": "features",
    "mobilenet_v2": "features",
}


def methods(model: Module, layer: Module, x: Tensor) -> dict[str, Callable[[], object]]:
    """The calls to time; all explain class 0."""

    def forward() -> Tensor:
        with torch.no_grad():
            output: Tensor = model(x)
        return output

    cam = ClusteredLayerCAM(model, layer)
    _, clusters = cam.attribute(x, 0, return_clusters=True)
    mask = clusters.labels[..., None, None]
    return {
        "plain forward": forward,
        "ClusteredLayerCAM": lambda: cam.attribute(x, 0),
        "  shapley, 8 groups": lambda: ClusteredLayerCAM(
            model, layer, clusterer=8, importance="shapley"
        ).attribute(x, 0),
        "  consensus of 5": lambda: ClusteredLayerCAM(model, layer, consensus=5).attribute(x, 0),
        "LayerGradCam": lambda: LayerGradCam(model, layer).attribute(x, 0),
        "LayerFeatureAblation": lambda: LayerFeatureAblation(model, layer).attribute(
            x, target=0, layer_mask=mask
        ),
    }


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Prints a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["resnet50"], choices=sorted(LAYERS))
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for name in options.models:
        torch.manual_seed(0)
        model = models.get_model(name, weights=None).eval()
        x = torch.randn(options.batch_size, 3, 224, 224)
        seconds = measure(methods(model, model.get_submodule(LAYERS[name]), x), options.rounds)
        print(f"\n{name}, {LAYERS[name]}, N = {options.batch_size}, {options.rounds} rounds")
        print(f"{'method':24}{'ms':>9}{'x forward':>11}{'min':>7}{'max':>7}")
        for method, times in seconds.items():
            ratios = [t / f for t, f in zip(times, seconds["plain forward"], strict=True)]
            print(
                f"{method:24}{1e3 * statistics.median(times):9.0f}"
                f"{statistics.median(ratios):11.2f}{min(ratios):7.2f}{max(ratios):7.2f}"
            )


if __name__ == "__main__":
    main()
