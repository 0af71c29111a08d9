"""Draw the pictures of README and docs with the network of the demo: python docs/pictures.py"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from captum_clustered import ImageExplainer
from captum_clustered.explain import ExplainerSettings
from captum_clustered.samples import (
    LAYER,
    LAYER_INPUT,
    PHOTOGRAPHS,
    demo_model,
    demo_preprocessing,
    photographs,
)
from captum_clustered.visualization import (
    draw_explanation,
    visualize_clusters,
    visualize_layer_attr,
    visualize_methods,
)

FOLDER = Path(__file__).parent / "images"
LABEL = "drop x activation"
# A flower of ImageNet that is not in the photograph: its map has both signs.
LADYS_SLIPPER = 986


class Explained:
    """A photograph, its explanation for one class, and the clusters."""

    def __init__(self, name: str, target: int) -> None:
        explainer = ImageExplainer(
            demo_model(),
            ExplainerSettings(LAYER, LAYER_INPUT, target),
            demo_preprocessing(),
        )
        photograph = photographs([name])[name]
        x = explainer.prepare(photograph)
        self.explanation = explainer(photograph, name)
        self.image, self.seen = self.explanation.picture, self.explanation.seen
        self.gradcam = self.explanation.gradcam
        self.clustered, self.clusters = explainer.cam.attribute(
            x, target, attribute_to_layer_input=True, return_clusters=True
        )


def first_picture(flower: Explained) -> Figure:
    """Draw the photograph, both methods, and the three clusters with the largest drops."""
    maps = {"LayerGradCam": flower.gradcam, "ClusteredLayerCAM": flower.clustered[0]}
    figure = Figure(figsize=(8, 5.9), layout="constrained")
    rows: Any = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    top, bottom = rows
    _, axes = visualize_methods(
        {name: [values] for name, values in maps.items()},
        [flower.image],
        # The two maps have different units.
        scale="own",
        seen=[flower.seen],
        class_name="daisy",
        plt_fig_axis=(top, top.subplots(1, 3)),
        use_pyplot=False,
    )
    axes[0, 0].set_title("input: why daisy?", fontsize=9)
    visualize_clusters(
        flower.clusters,
        flower.image,
        max_clusters=3,
        # Where each is active, however little it carries.
        scale="own",
        seen=flower.seen,
        plt_fig_axis=(bottom, bottom.subplots(1, 3)),
        use_pyplot=False,
    )
    return figure


def main() -> None:
    """Write all pictures to docs/images."""
    flower = Explained("flower", PHOTOGRAPHS["flower"].class_index)
    temple = Explained("temple", PHOTOGRAPHS["temple"].class_index)
    slipper = Explained("flower", LADYS_SLIPPER)
    shared: dict[str, Any] = {"label": LABEL, "use_pyplot": False}
    found = {
        "flower": first_picture(flower),
        "overlay": visualize_layer_attr(
            slipper.clustered, slipper.image, seen=slipper.seen, **shared
        )[0],
        "clusters": visualize_clusters(
            slipper.clusters, slipper.image, max_clusters=5, seen=slipper.seen, **shared
        )[0],
        "methods": visualize_methods(
            {
                "LayerGradCam": [flower.gradcam, temple.gradcam],
                "ClusteredLayerCAM": [flower.clustered[0], temple.clustered[0]],
            },
            [flower.image, temple.image],
            seen=[flower.seen, temple.seen],
            names=["daisy", "palace"],
            scale="own",
            use_pyplot=False,
        )[0],
        "explanation": draw_explanation(flower.explanation),
    }
    for name, figure in found.items():
        figure.savefig(FOLDER / f"{name}.png", dpi=94, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
