"""The command demo: the method at work, offline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, median

import torch
from captum.attr import LayerAttribution
from captum.metrics import sensitivity_max
from rich.console import Group
from torch import Tensor

from captum_clustered._ablation.model_state.random_numbers import PrivateNumbers
from captum_clustered.cli.console import progress_bar, sentences, show, titled
from captum_clustered.cli.explain import explain_image, prepare_folder
from captum_clustered.cli.options import OutFolder
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.explain import ExplainerSettings, ImageExplainer
from captum_clustered.input_attribution import InputAttribution
from captum_clustered.metrics import average_drop, increase_in_confidence
from captum_clustered.samples import (
    LAYER,
    LAYER_INPUT,
    PHOTOGRAPHS,
    demo_model,
    demo_preprocessing,
    photographs,
)
from captum_clustered.scores import probability
from captum_clustered.test_time_augmentation import TestTimeAugmentation

SHOWN = ("temple", "flower")
SETTINGS = ExplainerSettings(layer=LAYER, layer_input=LAYER_INPUT)
# A second view that is mirrored and magnified steadies maps more than a mirror image alone.
VIEWS = ("identity", "hflip+zoom(1.15)")
N_TIMINGS = 5


def demo(out_dir: OutFolder = Path("out/demo")) -> None:
    """
    Explain photographs with an ImageNet network; nothing is downloaded.

    Writes the files and prints the tables of explain for two photographs. Then measures on eight
    how stable and faithful the maps are, and what they cost.
    """
    with sentences():
        prepare_folder(out_dir)
        model, preprocessing = demo_model(), demo_preprocessing()
        images = photographs()
        for name in SHOWN:
            settings = replace(SETTINGS, target=PHOTOGRAPHS[name].class_index)
            explainer = ImageExplainer(model, settings, preprocessing)
            explain_image(explainer, images[name], name, out_dir / name)
        explainer = ImageExplainer(model, SETTINGS, preprocessing)
        results: list[dict[str, Quality]] = []
        with progress_bar() as bar:
            task = bar.add_task("Measuring", total=len(images))
            for image in images.values():
                inputs = explainer.prepare(image)
                predicted, _ = explainer.outputs(inputs)
                results.append(measure(explainer, inputs, predicted))
                bar.advance(task)
        show(quality_table(results))


@dataclass(frozen=True)
class Quality:
    """How good a method's map of an image is."""

    cost: float  # time for the map, in forward passes of the network
    sensitivity: float  # Captum's max-sensitivity; lower is more stable
    average_drop: float  # in per cent; lower is more faithful
    increase: float  # 100 if what the map shows makes the network more confident, else 0


def measure(explainer: ImageExplainer, inputs: Tensor, target: int) -> dict[str, Quality]:
    """Return how good each method's map of an image is, by method."""
    single: dict[str, LayerAttribution] = {
        "Clustered-CAM": explainer.cam,
        "Ablation-CAM (clusterer=None)": ClusteredLayerCAM(
            explainer.score, explainer.layer, clusterer=None
        ),
        "LayerGradCam": explainer.gradcam_method(),
    }
    methods: dict[str, LayerAttribution] = {}
    for name, method in single.items():
        methods |= {name: method, f"{name}, 2 views": TestTimeAugmentation(method, VIEWS)}
    costs = _costs(explainer, methods, inputs, target)
    return {
        name: _quality(explainer, method, inputs, target, costs[name])
        for name, method in methods.items()
    }


def _quality(
    explainer: ImageExplainer, method: LayerAttribution, inputs: Tensor, target: int, cost: float
) -> Quality:
    attribution = _explain(method, inputs, target)
    forward_func = probability(explainer.model.module)
    # All methods meet the same perturbations, and the user's generator stays as it is.
    with PrivateNumbers(seed=0):
        sensitivity = sensitivity_max(
            InputAttribution(method).attribute,
            inputs,
            target=target,
            attribute_to_layer_input=SETTINGS.layer_input,
            relu_attributions=True,
        )
    measured = forward_func, inputs, attribution, target
    return Quality(
        cost,
        float(sensitivity),
        float(average_drop(*measured)),
        float(increase_in_confidence(*measured)),
    )


def _explain(method: LayerAttribution, inputs: Tensor, target: int) -> Tensor:
    attribution: Tensor = method.attribute(
        inputs, target, attribute_to_layer_input=SETTINGS.layer_input
    )
    return attribution


def _costs(
    explainer: ImageExplainer, methods: dict[str, LayerAttribution], inputs: Tensor, target: int
) -> dict[str, float]:
    """Return the time of each method as a multiple of a forward pass, medians of rounds."""
    calls: dict[str, Callable[[], Tensor]] = {
        name: partial(_explain, method, inputs, target) for name, method in methods.items()
    }
    calls[""] = torch.no_grad()(partial(explainer.model.module, inputs))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    # In turn, so that other work on the machine slows all alike; the first round warms up.
    for _ in range(1 + N_TIMINGS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: median(times[1:]) for name, times in seconds.items()}
    return {name: medians[name] / medians[""] for name in methods}


def quality_table(results: list[dict[str, Quality]]) -> Group:
    """Return each method's numbers: the mean over images, and the median of the cost."""
    numbers = (
        "Cost, forward passes ↓",
        "Max-sensitivity ↓",
        "Average drop ↓",
        "Increase in confidence ↑",
    )
    title = f"Quality on {len(results)} photographs, predicted class (↓ lower, ↑ higher is better)"
    group, table = titled(title, "Method", *numbers, right=numbers)
    for method in results[0]:
        found = [result[method] for result in results]
        table.add_row(
            method,
            f"{median(q.cost for q in found):.1f}",
            f"{fmean(q.sensitivity for q in found):.3f}",
            f"{fmean(q.average_drop for q in found):.1f} %",
            f"{fmean(q.increase for q in found):.0f} %",
        )
    return group
