"""
All methods and metrics of a comparison, offline: an ImageNet network on photographs.

The photographs come with scikit-learn and scikit-image, the network with the extra
"demo". Each photograph is cut twice; what is explained is the network's prediction of each
cut.

    python benchmarks/compare_photographs.py --out out/compare
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from captum_clustered.comparison import compare
from captum_clustered.comparison.methods import METHODS, default_methods
from captum_clustered.comparison.metrics import default_metrics
from captum_clustered.metrics._registry import METRICS
from captum_clustered.samples import (
    LAYER,
    LAYER_INPUT,
    demo_model,
    demo_preprocessing,
    photographs,
)
from captum_clustered.visualization.canvas import save_figure

PHOTOGRAPHS = ("temple", "flower", "astronaut", "cameraman", "cat", "cup", "rocket", "motorcycle")
# Side of the smaller cut, as a share of the photograph's shorter side.
SHARE = 0.75


def cuts(image: Image.Image) -> list[Image.Image]:
    """Cut the largest square in the middle, and a smaller one at the right."""
    width, height = image.size
    whole = min(width, height)
    part = round(SHARE * whole)
    squares = [((width - whole) // 2, whole), (width - part, part)]
    return [
        image.crop((left, (height - side) // 2, left + side, (height - side) // 2 + side))
        for left, side in squares
    ]


def inputs(n_photographs: int) -> Tensor:
    """All cuts as the network's input, (N, 3, 224, 224)."""
    preprocessing = demo_preprocessing()
    images = photographs(PHOTOGRAPHS[:n_photographs]).values()
    found = torch.stack([preprocessing(cut) for image in images for cut in cuts(image)])
    # Convolutions on a CPU are nearly twice as fast in this layout.
    return found.to(memory_format=torch.channels_last)


def slow(known: Mapping[str, Any]) -> list[str]:
    """Return the names of slow methods or metrics."""
    return [name for name, info in known.items() if info.is_slow]


def main() -> None:
    """Print the tables and write them, the values and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/compare"))
    parser.add_argument("--photographs", type=int, default=4, help="How many of the eight.")
    parser.add_argument(
        "--slow-methods",
        action="store_true",
        help="Also methods that run the network for each of the layer's channels.",
    )
    parser.add_argument("--save-to", type=Path, help="Folder to resume an interrupted run from.")
    parser.add_argument("--threads", type=int, help="Of torch; 1 is faster on a busy machine.")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    model = demo_model().module
    start = time.perf_counter()
    comparison = compare(
        model,
        model.get_submodule(LAYER),
        inputs(options.photographs),
        methods=[*default_methods(), *slow(METHODS)] if options.slow_methods else None,
        metrics=[*default_metrics(has_masks=False), *slow(METRICS)],
        attribute_to_layer_input=LAYER_INPUT,
        save_to=options.save_to,
    )
    seconds = time.perf_counter() - start
    table = comparison.to_markdown()
    print(table)
    print(f"{seconds:.0f} seconds, {torch.get_num_threads()} threads")
    (options.out / "summary.md").write_text(table, encoding="utf-8")
    comparison.to_csv(options.out / "results.csv")
    for kind in ("metrics", "curves", "gallery"):
        save_figure(comparison.plot(kind), options.out / f"{kind}.png")


if __name__ == "__main__":
    main()
