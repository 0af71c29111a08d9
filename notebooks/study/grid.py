"""
The grid that the library's defaults were chosen from: variants of Clustered-CAM on ``val-select``.

It uses only the training split (for fitted clusters) and the half ``val-select``. The half
``val-report`` is reserved for the results: docs/study.md.

    make study-grid DATA=path/to/BUSBRA MODELS=path/to/models
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from captum.attr import LayerAttribution, LayerGradCam
from sklearn.cluster import AgglomerativeClustering
from torch import Tensor, nn

from captum_clustered import ClusteredLayerCAM, compare
from captum_clustered.comparison import Comparison
from study.checkpoints import load_network
from study.data import StudyData
from study.fitted_clusters import Factory, fitted_clusters
from study.images import batches, patients_of, sample
from study.methods import VIEWS, viewed
from study.networks import HEADS, N_CHANNELS, on_device, target_layer
from study.options import add_data_options, errors_of, take_data
from study.run import SCORES
from study.stability import EMPTY, EMPTY_MAP, SENSITIVITY
from study.tables import sensitivity_table, verdicts_table
from study.variants import PositiveClusters, PowerOfActivity

# The metrics of the verdicts that take one or two forward passes; insertion and deletion take 20.
METRICS = (
    "average drop",
    "average drop (blur)",
    "average drop 50%",
    "increase in confidence",
    "energy lesion",
    "pointing game",
    SENSITIVITY,
)
SEED = 0
DEFAULT = "default (10 clusters, drop, ablation)"


def clustered(cls: type[LayerAttribution] = ClusteredLayerCAM, **kwargs: Any) -> Factory:
    """Return a method for compare whose name in stored settings contains its arguments."""

    def method(forward_func: Callable[..., Tensor], layer: nn.Module) -> LayerAttribution:
        return cls(forward_func, layer, **kwargs)

    shown = {name: _stored(value) for name, value in sorted(kwargs.items())}
    method.__qualname__ = f"{cls.__name__} {shown}"
    return method


def _stored(value: Any) -> str:
    return str(value.tolist()) if isinstance(value, Tensor) else repr(value)


def variants(fit: Callable[[int], Tensor], n_channels: int) -> dict[str, Factory]:
    """
    Return the variants by name; most change one setting of the library's defaults.

    Args:

        fit (Callable): Maps a number of clusters to fitted labels (C,).
        n_channels (int): Number of channels C.
    """
    found: dict[str, Factory] = {DEFAULT: clustered()}
    found |= {f"{k} clusters": clustered(clusterer=k) for k in (20, 50, 100)}
    found["each channel"] = clustered(clusterer=None)
    found |= {f"n_clusterings {r}": clustered(n_clusterings=r) for r in (5, 10)}
    found["density"] = clustered(scaling="density")
    found["density, 50 clusters"] = clustered(scaling="density", clusterer=50)
    found["power 1/2"] = clustered(PowerOfActivity, power=0.5)
    found["power 1/2, each channel"] = clustered(PowerOfActivity, power=0.5, clusterer=None)
    found["shapley, 8 clusters"] = clustered(clusterer=8, importance="shapley")
    found["ward"] = clustered(clusterer=AgglomerativeClustering(10))
    found["positive clusters"] = clustered(PositiveClusters)
    found |= {f"fitted {k}": clustered(clusterer=fit(k)) for k in (10, 50, 100)}
    found["fitted 50, density"] = clustered(clusterer=fit(50), scaling="density")
    found["fitted 50, power 1/2"] = clustered(PowerOfActivity, power=0.5, clusterer=fit(50))
    for name in (DEFAULT, "each channel", "fitted 50"):
        found |= {f"{name}, {views}": viewed(found[name], name, views) for views in VIEWS}
    found |= {f"LayerGradCam, {views}": viewed(LayerGradCam, "", views) for views in VIEWS}
    # Control: does similarity matter, or only that there are clusters?
    generator = torch.Generator().manual_seed(SEED)
    found["random clusters, 10"] = clustered(
        clusterer=torch.randint(10, (n_channels,), generator=generator)
    )
    return found


def grid(
    data: StudyData, models: Path, out: Path, head: str, options: argparse.Namespace
) -> Comparison:
    """Compare all variants at the last layer; results in ``out`` are not computed again."""
    network = on_device(load_network(models, head, data))
    target = target_layer(network, "last")
    folder = out / head

    def fit(n_clusters: int) -> Tensor:
        reference = sample(data.part("train"), options.fit_images)
        path = folder / f"clusters-{n_clusters}.pt"
        return fitted_clusters(network, target, reference, path, options.batch_size, n_clusters)

    if options.variants:
        # Before clusters are fitted, which takes minutes.
        there = variants(lambda _: torch.zeros(N_CHANNELS, dtype=torch.long), N_CHANNELS)
        unknown = [name for name in options.variants if name not in there]
        if unknown:
            raise ValueError(f"--variants has {unknown}; there are {list(there)}.")
    found = variants(fit, N_CHANNELS)
    chosen = {name: found[name] for name in options.variants or found}
    images = sample(data.part("val-select"), options.limit)
    return compare(
        network,
        target.layer,
        batches(images, options.batch_size),
        ["LayerGradCam", *({name: value} for name, value in chosen.items())],
        [*METRICS, {EMPTY: EMPTY_MAP}],
        score=options.score,
        attribute_to_layer_input=target.at_input,
        save_to=folder / "state",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print two tables for each head: differences to LayerGradCam, and stability."""
    parser = argparse.ArgumentParser(
        prog="study.grid", description="Variants of Clustered-CAM on val-select."
    )
    add_data_options(parser)
    parser.add_argument("--models", type=Path, default=Path("out/models"), help="The checkpoints.")
    parser.add_argument("--out", type=Path, default=Path("out/grid"))
    parser.add_argument(
        "--limit", type=int, help="Number of images, drawn at random (default: all)."
    )
    parser.add_argument(
        "--fit-images", type=int, help="Number of images to fit clusters on (default: all)."
    )
    parser.add_argument("--score", choices=SCORES, default="margin", help="The score to explain.")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=HEADS)
    parser.add_argument(
        "--variants", nargs="+", metavar="NAME", help="The variants to run (default: all)."
    )
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args(arguments)
    with errors_of("study"):
        data = take_data(vars(options))
        for head in options.heads:
            comparison = grid(data, options.models, options.out, head, options)
            patients = patients_of(sample(data.part("val-select"), options.limit))
            tables = [verdicts_table(comparison, patients), sensitivity_table(comparison)]
            text = "\n\n".join([f"# {head} head, score {options.score}", *tables]) + "\n"
            (options.out / head / "grid.md").write_text(text, encoding="utf-8")
            print(text, flush=True)


if __name__ == "__main__":
    main()
