"""What a picture's explanation consists of, and its computation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import LayerGradCam
from torch import Tensor

from captum_clustered._errors import UserError, explained, one_line
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.models.layers import TOKENS, find_layer, kind_of, token_grid, trace
from captum_clustered.models.load import Model
from captum_clustered.scores import SCORES
from captum_clustered.tokens import tokens_to_map

__all__ = ["Explainer", "Explanation", "Settings"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Settings:
    """
    How to explain; the defaults are those of :class:`captum_clustered.ClusteredLayerCAM`.

    Attributes:

        layer (str): The layer's name in the model.
        layer_input (bool): Whether to attribute to the layer's input.
        target (int or None): The class; None means the predicted one of each picture.
        n_clusters (int): Number of clusters of channels.
        scaling (str): "density" or "drop".
        importance (str): "ablation" or "shapley".
        n_clusterings (int): Number of clusterings that are averaged.
        seed (int): Of the (first) clustering.
        channel_dim (int): The layer's dimension of channels.
        score (str): "logit", "probability", "log_probability" or "margin".
    """

    layer: str
    layer_input: bool = False
    target: int | None = None
    n_clusters: int = 10
    scaling: str = "density"
    importance: str = "ablation"
    n_clusterings: int = 1
    seed: int = 0
    channel_dim: int = 1
    score: str = "logit"


@dataclass(frozen=True)
class Explanation:
    r"""
    A picture's explanation. Maps are of the layer's size (h, w).

    Attributes:

        attribution: Clustered-CAM, (h, w).
        gradcam: LayerGradCam of the same layer and score, (h, w), or None.
        gradcam_missing: Why there is none.
        labels: Cluster of each channel, (C,).
        importances: Importance of each cluster, (k,).
        maps: Each cluster's share of the attribution, (k, h, w).
        sizes: Number of channels in each cluster, (k,).
        score: Of the target.
        baseline_score: Of the target with the whole layer ablated.
        target: The class that is explained.
        probabilities: Of all classes, (n_classes,).
        input_image: What the network sees, (H, W, 3), uint8.
        notes: Remarks for the user.
    """

    attribution: Array
    gradcam: Array | None
    labels: Array
    importances: Array
    maps: Array
    sizes: Array
    score: float
    baseline_score: float
    target: int
    probabilities: Array
    input_image: npt.NDArray[np.uint8]
    gradcam_missing: str = ""
    notes: tuple[str, ...] = ()

    def by_importance(self) -> list[int]:
        """The clusters that have channels, the most important first."""
        order = np.argsort(-self.importances, kind="stable")
        return [int(j) for j in order if self.sizes[j] > 0]


class Explainer:
    """
    Explains pictures by one model and one layer.

    Everything that can be wrong with the settings is found when it is made, before any
    picture is read.
    """

    def __init__(
        self, model: Model, settings: Settings, input_shape: tuple[int, ...], device: str = "cpu"
    ) -> None:
        """
        Args:

            model (Model): The network, on the device.
            settings (Settings): How to explain.
            input_shape (tuple[int, ...]): Of one picture's input, (1, C, H, W).
            device (str, optional): Where the network is.
                        Default: "cpu"

        Raises:

            UserError: If the layer, its dimension of channels or the target does not fit
                        the model.
        """
        self.model = model
        self.settings = settings
        self.layer = find_layer(model, settings.layer)
        self.device = device
        forward = trace(model, torch.zeros(input_shape, device=device))
        self.n_classes = n_classes = forward.output.shape[1]
        if settings.target is not None and not 0 <= settings.target < n_classes:
            raise UserError(
                f"--target {settings.target} is out of range: {model.name} has {n_classes} "
                f"classes, 0 to {n_classes - 1}."
            )
        call = forward.calls.get(self.layer)
        if call is None:
            raise UserError(
                f"Layer {settings.layer!r} is not used when {model.name} runs, or is a container "
                "that only holds others."
            )
        shapes = call.inputs if settings.layer_input else call.outputs
        if len(shapes) != 1:
            what = "input" if settings.layer_input else "output"
            raise UserError(
                f"The {what} of layer {settings.layer!r} is {len(shapes)} tensors, and one is "
                "needed for a map; choose a layer inside or behind it."
            )
        self._notes: list[str] = []
        self._check_shape(shapes[0], call.inputs)
        self._channels_first = settings.channel_dim % len(shapes[0]) == 1
        self.score = SCORES[settings.score].wrap(model.module)
        self.cam = ClusteredLayerCAM(
            self.score,
            self.layer,
            clusterer=settings.n_clusters,
            scaling=settings.scaling,
            importance=settings.importance,
            n_clusterings=settings.n_clusterings,
            seed=settings.seed,
            channel_dim=settings.channel_dim,
        )

    def _check_shape(self, shape: tuple[int, ...], inputs: tuple[tuple[int, ...], ...]) -> None:
        settings = self.settings
        kind = kind_of(shape)
        where = f"{'The input of layer' if settings.layer_input else 'Layer'} {settings.layer!r}"
        if kind is None:
            hint = (
                "; its input is one: add --layer-input"
                if not settings.layer_input and len(inputs) == 1 and kind_of(inputs[0])
                else ""
            )
            raise UserError(
                f"{where} has shape {shape}, which is no spatial map{hint}. `captum-clustered "
                f"layers --model {self.model.name}` lists the layers."
            )
        if not -len(shape) < settings.channel_dim < len(shape) or settings.channel_dim == 0:
            raise UserError(
                f"--channel-dim {settings.channel_dim} is no dimension of channels of {shape}."
            )
        dim = settings.channel_dim % len(shape)
        # With as many channels as rows and columns, nothing gives the channels away.
        is_cube = len(shape) == 4 and len(set(shape[1:])) == 1 and dim != 2
        if dim == kind.channel_dim % len(shape) or is_cube:
            return
        # (N, C, T) is not unheard of: it is taken at the user's word where tokens form a
        # square, unless a class token gives (N, T, C) away.
        grid = token_grid(shape[1])
        if kind is TOKENS and dim == 1 and token_grid(shape[2]) and grid and grid[1] == 0:
            self._notes.append(
                f"{where} has shape {shape}: dimension 1 is taken for the channels; if these are "
                "tokens, add --channel-dim -1."
            )
            return
        raise UserError(
            f"{where} has shape {shape}, which looks like {kind.name}: use --channel-dim "
            f"{kind.channel_dim}."
        )

    def __call__(self, inputs: Tensor, input_image: npt.NDArray[np.uint8]) -> Explanation:
        """
        Args:

            inputs (Tensor): One picture, (1, C, H, W).
            input_image (array): The same to look at, (H, W, 3), uint8.

        Raises:

            UserError: If the model fails or its activations cannot be attributed.
        """
        inputs = inputs.to(self.device)
        notes = list(self._notes)
        with (
            explained(f"{self.model.name} cannot be explained"),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always", UserWarning)
            with torch.no_grad():
                probabilities = _probabilities(self.model.module(inputs))[0]
            target = self.settings.target
            if target is None:
                target = int(probabilities.argmax())
            attribution, clusters = self.cam.attribute(
                inputs,
                target,
                attribute_to_layer_input=self.settings.layer_input,
                return_clusters=True,
            )
            gradcam, gradcam_missing = self._gradcam(inputs, target)
        notes += dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning)
        return Explanation(
            attribution=_as_maps(attribution)[0],
            gradcam=None if gradcam is None else _as_maps(gradcam)[0],
            labels=_numpy(clusters.labels)[0],
            importances=_numpy(clusters.importances)[0],
            maps=_as_maps(clusters.maps),
            sizes=_numpy(clusters.sizes)[0],
            score=float(clusters.score),
            baseline_score=float(clusters.baseline_score),
            target=target,
            probabilities=_numpy(probabilities),
            input_image=input_image,
            gradcam_missing=gradcam_missing,
            notes=tuple(filter(None, [*notes, gradcam_missing])),
        )

    def gradcam_method(self) -> LayerGradCam:
        """Captum's LayerGradCam of the same layer and score."""
        return LayerGradCam(self.score, self.layer)

    def _gradcam(self, inputs: Tensor, target: int) -> tuple[Tensor | None, str]:
        if not self._channels_first:
            return None, ("LayerGradCam is left out: it knows channels in dimension 1 only.")
        try:
            attribution: Tensor = self.gradcam_method().attribute(
                inputs,
                target,
                attribute_to_layer_input=self.settings.layer_input,
            )
        except Exception as error:  # noqa: BLE001
            # A model without gradients (quantized, or under no_grad) is explained all the same.
            return None, f"LayerGradCam is left out, it fails on this model: {one_line(error)}"
        return attribution, ""


def _probabilities(logits: Tensor) -> Tensor:
    # A single logit is the log-odds of the class.
    return logits.softmax(1) if logits.shape[1] > 1 else logits.sigmoid()


def _as_maps(values: Tensor) -> Array:
    """(1, k, *spatial) as (k, h, w)."""
    if values.dim() == 3:
        grid = token_grid(values.shape[2])
        if grid is None:
            raise UserError(
                f"The layer has {values.shape[2]} tokens, which form no square, with or without a "
                "class token."
            )
        side, n_prefix = grid
        values = tokens_to_map(values, (side, side), n_prefix)
    return _numpy(values)[0]


def _numpy(values: Tensor) -> Array:
    values = values.detach().cpu()
    # NumPy has no bfloat16.
    return np.asarray(values.float() if values.dtype is torch.bfloat16 else values)
