"""The calls whose cost is measured."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from captum.attr import LayerActivation, LayerFeatureAblation, LayerGradCam
from torch import Tensor
from torch.nn import Module
from torchvision import models

from captum_clustered import ClusteredLayerCAM
from captum_clustered._clustering.features import channel_features
from captum_clustered._clustering.kmeans import kmeans
from captum_clustered.comparison.peers import PeerCAM
from speed.settings import prepared

FORWARD = "plain forward"
EACH_CHANNEL = "  each channel alone, clusterer=None"
LAYERS = {
    "resnet50": "layer4",
    "vgg16": "features",
    "densenet121": "features",
    "efficientnet_b0": "features",
    "mobilenet_v2": "features",
}


@dataclass(frozen=True)
class Case:
    """
    A model, a layer and a batch.

    Attributes:

        model (torch.nn.Module): In evaluation mode, with random weights.
        layer (torch.nn.Module): The layer that is explained.
        inputs (Tensor): Images, on the model's device.
    """

    model: Module
    layer: Module
    inputs: Tensor

    @property
    def device(self) -> torch.device:
        """Return the device of model and inputs."""
        return self.inputs.device

    def first(self) -> Case:
        """Return the same case with one image."""
        return Case(self.model, self.layer, self.inputs[:1])


def make_case(
    model: str,
    batch_size: int,
    device: str,
    layer: str = "",
    setting: str = "float32",
    size: int = 224,
) -> Case:
    """Make a case of a torchvision network and random images of size x size."""
    torch.manual_seed(0)
    network = models.get_model(model, weights=None).eval().to(device)
    inputs = torch.randn(batch_size, 3, size, size, device=device)
    explained = network.get_submodule(layer or LAYERS[model])
    network, inputs = prepared(setting, network, inputs)
    return Case(network, explained, inputs)


def forward(case: Case) -> Tensor:
    """Run one forward pass without gradients: the unit of all costs."""
    with torch.no_grad():
        output: Tensor = case.model(case.inputs)
    return output


def clustered(case: Case, perturbations_per_eval: int | None = None, **kwargs: object) -> Tensor:
    """Compute our map of class 0."""
    cam = ClusteredLayerCAM(case.model, case.layer, **kwargs)  # type: ignore[arg-type]
    maps: Tensor = cam.attribute(case.inputs, 0, perturbations_per_eval=perturbations_per_eval)
    return maps


def make_calls(case: Case) -> dict[str, Callable[[], object]]:
    """Return the calls by name. All explain class 0; the first is the plain forward pass."""

    @functools.cache
    def clusters() -> Tensor:
        cam = ClusteredLayerCAM(case.model, case.layer)
        labels: Tensor = cam.attribute(case.inputs, 0, return_clusters=True)[1].labels
        return labels[..., None, None]

    @functools.cache
    def features() -> Tensor:
        maps = LayerActivation(case.model, case.layer).attribute(case.inputs)
        return channel_features(maps.detach())

    calls: dict[str, Callable[[], object]] = {
        FORWARD: lambda: forward(case),
        "ClusteredLayerCAM": lambda: clustered(case),
        "  its k-means alone": lambda: kmeans(features(), 10, [0]),
    }
    for k in (5, 32, 128):
        calls[f"  {k} clusters"] = lambda k=k: clustered(case, clusterer=k)  # type: ignore[misc]
    calls |= {
        EACH_CHANNEL: lambda: clustered(case, clusterer=None),
        "  n_clusterings=5": lambda: clustered(case, n_clusterings=5),
        "  shapley, 8 clusters, exact": lambda: clustered(case, clusterer=8, importance="shapley"),
        "  the same, perturbations_per_eval=64": lambda: clustered(
            case, clusterer=8, importance="shapley", perturbations_per_eval=64
        ),
        "  shapley, 16 clusters, sampled": lambda: clustered(
            case, clusterer=16, importance="shapley"
        ),
        "LayerGradCam": lambda: LayerGradCam(case.model, case.layer).attribute(case.inputs, 0),
        "LayerFeatureAblation, same clusters": lambda: LayerFeatureAblation(
            case.model, case.layer
        ).attribute(case.inputs, target=0, layer_mask=clusters()),
    }
    return calls


def make_per_channel_calls(case: Case) -> dict[str, Callable[[], object]]:
    """Return calls on one image that ablate each channel of the layer, and ours with clusters."""
    one = case.first()

    def torch_cam() -> None:
        from torchcam.methods import ScoreCAM

        name = next(n for n, module in one.model.named_modules() if module is one.layer)
        with torch.no_grad(), ScoreCAM(one.model, target_layer=name) as extractor:
            extractor(0, one.model(one.inputs))

    def grad_cam(cam: str) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            PeerCAM(one.model, one.layer, cam).attribute(one.inputs, 0)

    return {
        FORWARD: lambda: forward(one),
        "ClusteredLayerCAM": lambda: clustered(one),
        EACH_CHANNEL: lambda: clustered(one, clusterer=None),
        "grad-cam AblationCAM": lambda: grad_cam("AblationCAM"),
        "grad-cam ScoreCAM": lambda: grad_cam("ScoreCAM"),
        "torch-cam ScoreCAM": torch_cam,
    }


def chosen(
    calls: dict[str, Callable[[], object]], names: Sequence[str] | None
) -> dict[str, Callable[[], object]]:
    """
    Return the calls of these names, without leading spaces, and the plain forward pass.

    Raises:

        SystemExit: If there is no such call.
    """
    known = {name.strip(): name for name in calls}
    unknown = [name for name in names or () if name.strip() not in known]
    if unknown:
        raise SystemExit(f"--methods has {unknown}; there are {list(known)}.")
    kept = {FORWARD, *(known[name.strip()] for name in names or known)}
    return {name: call for name, call in calls.items() if name in kept}
