"""The command demo: the method at work, offline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from captum.attr import LayerAttribution
from captum.metrics import sensitivity_max
from rich.console import Group
from torch import Tensor
from typer import Option

from captum_clustered._ablation.random_numbers import PrivateNumbers
from captum_clustered.cli.console import progress_bar, sentences, show, titled
from captum_clustered.cli.explain import explain_image, prepare_folder
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.explain import ExplainerSettings, ImageExplainer
from captum_clustered.input_attribution import InputAttribution
from captum_clustered.metrics import average_drop
from captum_clustered.samples import (
    LAYER,
    LAYER_INPUT,
    PHOTOGRAPHS,
    demo_model,
    demo_preprocessing,
    photographs,
)
from captum_clustered.scores import probability

__all__ = ["Quality", "demo", "measure", "quality_table"]

SHOWN = ("temple", "flower")
SETTINGS = ExplainerSettings(layer=LAYER, layer_input=LAYER_INPUT)


def demo(
    out_dir: Annotated[Path, Option("--out", help="Folder for the results.")] = Path("out/demo"),
) -> None:
    """
    Explain two photographs with an ImageNet network; nothing is downloaded.

    Writes the files and prints the tables of explain, then measures how stable and faithful the
    maps are.
    """
    with sentences():
        prepare_folder(out_dir)
        model, preprocessing = demo_model(), demo_preprocessing()
        results: dict[str, dict[str, Quality]] = {}
        with progress_bar() as bar:
            task = bar.add_task("Explaining and measuring", total=len(SHOWN))
            for name, image in photographs(SHOWN).items():
                target = PHOTOGRAPHS[name].class_index
                explainer = ImageExplainer(model, replace(SETTINGS, target=target), preprocessing)
                explain_image(explainer, image, name, out_dir / name)
                results[name] = measure(explainer, explainer.prepare(image), target)
                bar.advance(task)
        show(quality_table(results))


@dataclass(frozen=True)
class Quality:
    """
    How good a method's map of an image is.

    Attributes:

        sensitivity (float): Captum's max-sensitivity; lower is more stable.
        average_drop (float): In per cent; lower is more faithful.
    """

    sensitivity: float
    average_drop: float


def measure(explainer: ImageExplainer, inputs: Tensor, target: int) -> dict[str, Quality]:
    """Return how stable and how faithful each method's map of an image is, by method."""
    methods: dict[str, LayerAttribution] = {
        "Clustered-CAM": explainer.cam,
        "  n_clusterings=10": ClusteredLayerCAM(
            explainer.score,
            explainer.layer,
            clusterer=explainer.settings.n_clusters,
            n_clusterings=10,
        ),
        "LayerGradCam": explainer.gradcam_method(),
    }
    return {
        name: Quality(
            _sensitivity(InputAttribution(method).attribute, inputs, target),
            _average_drop(explainer, method, inputs, target),
        )
        for name, method in methods.items()
    }


def _sensitivity(explain: Callable[..., Tensor], inputs: Tensor, target: int) -> float:
    # All methods meet the same perturbations, and the user's generator stays as it is.
    with PrivateNumbers(seed=0):
        result = sensitivity_max(
            explain,
            inputs,
            target=target,
            attribute_to_layer_input=SETTINGS.layer_input,
            relu_attributions=True,
        )
    return float(result)


def _average_drop(
    explainer: ImageExplainer, method: LayerAttribution, inputs: Tensor, target: int
) -> float:
    attribution = method.attribute(inputs, target, attribute_to_layer_input=SETTINGS.layer_input)
    forward_func = probability(explainer.model.module)
    return float(average_drop(forward_func, inputs, attribution, target))


def quality_table(results: dict[str, dict[str, Quality]]) -> Group:
    """Return each method's numbers for each image and on average."""
    numbers = ("Max-sensitivity", "Average drop")
    group, table = titled("Quality (lower is better)", "Image", "Method", *numbers, right=numbers)
    for image, by_method in results.items():
        for method, quality in by_method.items():
            table.add_row(image, method, *_cells(quality))
        table.add_section()
    for method in next(iter(results.values())):
        mean = Quality(
            sum(r[method].sensitivity for r in results.values()) / len(results),
            sum(r[method].average_drop for r in results.values()) / len(results),
        )
        table.add_row("mean", method, *_cells(mean), style="bold")
    return group


def _cells(quality: Quality) -> tuple[str, str]:
    return f"{quality.sensitivity:.3f}", f"{quality.average_drop:.1f} %"
