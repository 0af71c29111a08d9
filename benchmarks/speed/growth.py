"""How the cost of a map beyond the forward pass grows with one size at a time."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import torch
from torch import nn

from speed.calls import FORWARD, Case, clustered, forward, make_case
from speed.timing import seconds_of

DEPTHS = {"last": "layer4", "middle": "layer3", "early": "layer2"}


def growth(rounds: int, device: str) -> pd.DataFrame:
    """
    Slopes of a wide layer's extra time, and that of three layers of ResNet-50.

    The wide layer has hardly anything in front, whose noise would hide what is measured.

    Returns:
        pandas.DataFrame: Columns of (what grows), values, extra milliseconds at each, and
        slope: the exponent of the fitted power law, 1 being in proportion.
    """
    place = torch.device(device)
    axes: dict[str, tuple[Sequence[int], Callable[[int], tuple[Case, int]]]] = {
        "clusters k": ((8, 16, 32, 64, 128), lambda k: (_wide(device), k)),
        "images N": ((1, 2, 4, 8, 16, 32), lambda n: (_wide(device, n_images=n), 10)),
        "channels C": ((256, 512, 1024, 2048, 4096), lambda c: (_wide(device, n_channels=c), 10)),
        "map's side": ((4, 7, 14, 28), lambda side: (_wide(device, side=side), 10)),
    }
    rows = []
    for name, (values, make) in axes.items():
        extra = [_extra(*make(value), rounds, place) for value in values]
        rows.append(
            {
                "of": name,
                "values": ", ".join(map(str, values)),
                "extra ms": ", ".join(f"{1e3 * seconds:.1f}" for seconds in extra),
                "slope": slope(values, extra),
            }
        )
    for name, layer in DEPTHS.items():
        case = make_case("resnet50", 8, device, layer=layer)
        rows.append(
            {
                "of": f"{name} layer",
                "values": layer,
                "extra ms": f"{1e3 * _extra(case, 10, rounds, place):.1f}",
                "slope": float("nan"),
            }
        )
    return pd.DataFrame(rows)


def slope(values: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the exponent b of seconds = a * values ** b, by least squares of the logarithms."""
    known = [(v, s) for v, s in zip(values, seconds, strict=True) if s > 0]
    if len(known) < 2:
        return float("nan")
    x, y = np.log(np.asarray(known)).T
    return float(np.polyfit(x, y, 1)[0])


def _extra(case: Case, n_clusters: int, rounds: int, device: torch.device) -> float:
    calls: dict[str, Callable[[], object]] = {
        FORWARD: lambda: forward(case),
        "map": lambda: clustered(case, clusterer=n_clusters),
    }
    seconds = seconds_of(calls, rounds, device)
    pairs = zip(seconds["map"], seconds[FORWARD], strict=True)
    return statistics.median(ours - plain for ours, plain in pairs)


def _wide(device: str, n_channels: int = 2048, n_images: int = 8, side: int = 7) -> Case:
    """Make a case of a small convolution before a layer of n_channels maps of side x side."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(3, n_channels, 3, padding=1), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_channels, 10))
    model = nn.Sequential(layer, head).eval().to(device)
    return Case(model, layer, torch.randn(n_images, 3, side, side, device=device))
