"""Draws the pictures of README and docs with the demo's network: python docs/pictures.py"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from captum.attr import LayerGradCam
from matplotlib.figure import Figure

from captum_clustered import ClusteredLayerCAM
from captum_clustered.cli.demo import MEAN, PICTURES, STD, demo_model, pictures
from captum_clustered.data.preprocessing import make_preprocessing
from captum_clustered.visualization import (
    visualize_clusters,
    visualize_layer_attr,
    visualize_methods,
)

FOLDER = Path(__file__).parent / "images"
LABEL = "share of the logit per position"
# An ImageNet class that the flower's photograph does not show.
VOLCANO = 980


class Explained:
    """A photograph, its maps for one class, and the clusters behind ours."""

    def __init__(self, name: str, target: int) -> None:
        preprocessing = make_preprocessing(None, mean=MEAN, std=STD)
        x = preprocessing(pictures()[name])
        self.image = preprocessing.picture(x)
        model = demo_model().module
        layer = model.get_submodule("_avg_pooling")
        options: dict[str, Any] = {"target": target, "attribute_to_layer_input": True}
        self.gradcam = LayerGradCam(model, layer).attribute(x, **options).detach()
        self.clustered, self.clusters = ClusteredLayerCAM(model, layer).attribute(
            x, **options, return_clusters=True
        )


def first_picture(flower: Explained) -> Figure:
    """The photograph, both methods, and the three clusters of the largest drops."""
    # One scale for everything: the clusters add up to the map above them.
    limit = float(torch.maximum(flower.gradcam.abs().max(), flower.clustered.abs().max()))
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    rows: Any = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    top, bottom = rows
    _, axes = visualize_methods(
        {"LayerGradCam": flower.gradcam, "ClusteredLayerCAM": flower.clustered},
        [flower.image],
        limit=limit,
        label=LABEL,
        plt_fig_axis=(top, top.subplots(1, 3)),
        use_pyplot=False,
    )
    axes[0, 0].set_title("input: why daisy?", fontsize=9)
    visualize_clusters(
        flower.clusters,
        flower.image,
        max_clusters=3,
        limit=limit,
        label=LABEL,
        plt_fig_axis=(bottom, bottom.subplots(1, 3)),
        use_pyplot=False,
    )
    return figure


def main() -> None:
    """Writes all pictures into docs/images."""
    flower = Explained("flower.jpg", PICTURES["flower.jpg"])
    china = Explained("china.jpg", PICTURES["china.jpg"])
    volcano = Explained("flower.jpg", VOLCANO)
    shared: dict[str, Any] = {"label": LABEL, "use_pyplot": False}
    found = {
        "flower": first_picture(flower),
        "overlay": visualize_layer_attr(volcano.clustered, volcano.image, **shared)[0],
        "clusters": visualize_clusters(volcano.clusters, volcano.image, max_clusters=5, **shared)[
            0
        ],
        "methods": visualize_methods(
            {
                "LayerGradCam": torch.cat([flower.gradcam, china.gradcam]),
                "ClusteredLayerCAM": torch.cat([flower.clustered, china.clustered]),
            },
            [flower.image, china.image],
            names=["daisy", "palace"],
            **shared,
        )[0],
    }
    for name, figure in found.items():
        figure.savefig(FOLDER / f"{name}.png", dpi=110, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
