"""
Peak memory and CPU time behind a layer that a decoder follows, beside the plain forward pass.

    python benchmarks/decoder_memory.py --layers down_4 upcat_2 --side 64

The network is MONAI's BasicUNet for volumes, the score the mean logit of a class. Each call
runs in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from process_memory import highest_memory
from torch import Tensor, nn

from captum_clustered import ClusteredLayerCAM

PLAIN = "plain forward pass"


class MeanLogit(nn.Module):
    """The mean logit of each class over all voxels, in a BasicUNet."""

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets import BasicUNet

        self.net = BasicUNet(spatial_dims=3, in_channels=1, out_channels=2)

    def forward(self, x: Tensor) -> Any:
        """Return logits (N, 2)."""
        return self.net(x).flatten(2).mean(2)


def measure(layer: str, at_once: int | None, side: int, threads: int) -> tuple[float, float]:
    """Return the MiB that a call needs, and its seconds on the CPU."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    net = MeanLogit().eval()

    def call(x: Tensor) -> Any:
        if layer == PLAIN:
            with torch.no_grad():
                return net(x)
        cam = ClusteredLayerCAM(net, net.net.get_submodule(layer))
        return cam.attribute(x, 0, perturbations_per_eval=at_once)

    # Has everything loaded.
    call(torch.rand(1, 1, 32, 32, 32))
    x = torch.rand(1, 1, side, side, side)
    reset_highest_memory()
    before = highest_memory()
    start = time.process_time()
    call(x)
    return highest_memory() - before, time.process_time() - start


def reset_highest_memory() -> None:
    """Forget what this process has needed so far; Linux only."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def in_own_process(function: Callable[..., Any], *arguments: object) -> Any:
    """Return a function's result, from a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", nargs="+", default=["down_4", "upcat_2"])
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    # glibc then gives back at once what is freed.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "65536")
    calls = [(PLAIN, None), *((layer, n) for layer in options.layers for n in (None, 11))]
    for layer, at_once in calls:
        mib, seconds = in_own_process(measure, layer, at_once, options.side, options.threads)
        name = f"{layer}, all ablations at once" if at_once else layer
        print(f"{name:35} {mib:6.0f} MiB {seconds:6.2f} s", flush=True)


if __name__ == "__main__":
    main()
