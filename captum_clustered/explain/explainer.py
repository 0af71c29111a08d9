"""Explain images, from files or tensors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Union, cast

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor

from captum_clustered._argument_checks import check_choice
from captum_clustered._errors import one_line, printable
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.data.own_transform import as_preprocessing
from captum_clustered.explain.explanation import Explanation, findings_of
from captum_clustered.explain.saved_clusters import read_clusters
from captum_clustered.explain.settings import ExplainerSettings
from captum_clustered.models.base import AnyModel, as_model
from captum_clustered.models.choice import LayerChoice, check_class, choose_layer
from captum_clustered.multi_layer_attribution import FUSIONS, MultiLayerAttribution
from captum_clustered.scores import SCORES, class_scores
from captum_clustered.test_time_augmentation import TestTimeAugmentation
from captum_clustered.tokens import token_grid, tokens_to_map
from captum_clustered.views import make_views

if TYPE_CHECKING:
    from PIL import Image

    from captum_clustered.data.preprocessing import Preprocessing

Array = npt.NDArray[Any]
ImageSource = Union[str, "os.PathLike[str]", "Image.Image", Tensor]


class ImageExplainer:
    """
    Explains images by one network and its layer or layers, beside LayerGradCam.

    All mistakes in the settings are found when it is made, before any image is read.

    Attributes:

        model (Model): The network.
        settings (ExplainerSettings): How it explains; each layer has a name.
        preprocessing (Preprocessing): How images become the network's input.
        cam (ClusteredLayerCAM): The method, on ``layer``.
        score (Callable): The forward function that returns the score of each class.
        layer (torch.nn.Module): The layer; of several the last one, whose clusters are shown.
        n_classes (int): Number of the network's classes.
        notes (tuple[str, ...]): Remarks on the settings, which are in each explanation too.

    Examples::

        >>> explainer = ImageExplainer(load_model("resnet50"), ExplainerSettings(target=281))
        >>> explanation = explainer("cat.jpg")
        >>> explanation.attribution.shape
        (7, 7)
        >>> explanation.save("cat.npz")
    """

    def __init__(
        self,
        model: AnyModel,
        settings: ExplainerSettings | None = None,
        preprocessing: Callable[[Image.Image], Tensor] | None = None,
    ) -> None:
        """
        Args:

            model (Model or torch.nn.Module): The network, on its device and in evaluation
                        mode.
            settings (ExplainerSettings, optional): How to explain.
                        Default: None (the defaults, on the usual layer)
            preprocessing (Preprocessing or Callable, optional): How RGB images become the
                        network's input, (C, size, size).
                        Default: None (:meth:`Model.preprocessing
                        <captum_clustered.models.Model.preprocessing>`)

        Raises:

            ValueError: If the layer, its dimension of channels, the target or another setting
                        does not fit the model, or the network fails on an input of its size.
            FileNotFoundError: If the file of saved clusters does not exist.
        """
        self.model = model = as_model(model)
        settings = settings or ExplainerSettings()
        preprocessing = self.preprocessing = self._prepared_by(preprocessing)
        check_choice("score", settings.score, SCORES)
        if settings.multi_label and SCORES[settings.score].compares_classes:
            accepted = [name for name, each in SCORES.items() if not each.compares_classes]
            raise ValueError(
                f"score={settings.score!r} compares classes, which do not exclude each other with "
                f"multi_label; accepted are {', '.join(map(repr, accepted))}."
            )
        inputs = torch.zeros(preprocessing.input_shape, device=model.device)
        check_choice("fusion", settings.fusion, FUSIONS)
        choices = [self._chosen(name, inputs, settings) for name in settings.layers]
        choice = choices[-1]
        self.layer, self.n_classes, self._choices = choice.module, choice.n_classes, choices
        notes = [note for each in choices for note in each.notes]
        for each in choices:
            n_channels = each.shape[each.channel_dim]
            if settings.clusters is None and settings.n_clusters > n_channels:
                notes.append(
                    f"n_clusters={settings.n_clusters} is more than the {n_channels} channels of "
                    f"layer {each.name!r}: each channel is a cluster."
                )
        if len(choices) > 1:
            _check_alike(choices)
            if settings.clusters is not None:
                raise ValueError(
                    f"clusters are those of one layer; got the layers {settings.layer_names}."
                )
            notes.append(
                f"The maps are the {settings.fused}; the clusters are those of layer "
                f"{choice.name!r}."
            )
        self.notes = tuple(dict.fromkeys(notes))
        if settings.target is not None:
            check_class(model, choice.n_classes, settings.target)
        self.settings = settings = replace(
            settings, layer=tuple(each.name for each in choices), channel_dim=choice.channel_dim
        )
        self.score = SCORES[settings.score].wrap(model.module)
        self.cam = self._method_of(choice)

    def _chosen(self, name: str, inputs: Tensor, settings: ExplainerSettings) -> LayerChoice:
        """Return a layer, checked with its settings."""
        choice = choose_layer(
            self.model, inputs, name, settings.layer_input, settings.channel_dim, settings.n_prefix
        )
        if len(choice.shape) == 3:
            n_tokens = choice.shape[2 if choice.has_channels_first else 1]
            _grid(n_tokens, settings.n_prefix, self.preprocessing.size)
        elif settings.n_prefix is not None:
            raise ValueError(
                f"n_prefix={settings.n_prefix} is for tokens; layer {choice.name!r} is a map."
            )
        _check_views(settings.views, choice)
        return choice

    def _method_of(self, choice: LayerChoice) -> ClusteredLayerCAM:
        settings = self.settings
        n_channels = choice.shape[choice.channel_dim]
        return ClusteredLayerCAM(
            self.score,
            choice.module,
            clusterer=_clusterer(settings.clusters, settings.n_clusters, n_channels),
            scaling=settings.scaling,
            importance=settings.importance,
            n_clusterings=settings.n_clusterings,
            n_samples=settings.n_samples,
            seed=settings.seed,
            channel_dim=choice.channel_dim,
        )

    def _prepared_by(self, preprocessing: Callable[[Image.Image], Tensor] | None) -> Preprocessing:
        if self.model.takes_volumes:
            raise ValueError(f"{self.model.name} takes volumes: use VolumeExplainer.")
        return as_preprocessing(preprocessing or self.model.preprocessing())

    def prepare(self, image: ImageSource) -> Tensor:
        """
        Return an image as the network's input, a batch of one.

        Args:

            image (str, PathLike, PIL.Image.Image or Tensor): A file, as
                        :func:`captum_clustered.data.read_image` reads it; an RGB image; or
                        an input that is prepared already, (C, H, W) or (1, C, H, W).

        Raises:

            FileNotFoundError, ValueError: If the file cannot be read.
            ValueError: If a tensor has another shape.
        """
        if isinstance(image, (str, os.PathLike)):
            image = self.preprocessing.read(image)
        if not isinstance(image, Tensor):
            image = self.preprocessing(image)
        inputs = image[None] if image.dim() == 3 else image
        if inputs.dim() != 4 or len(inputs) != 1:
            raise ValueError(
                "image must be a tensor of shape (C, H, W) or (1, C, H, W); got "
                f"{tuple(image.shape)}."
            )
        return inputs.to(self.model.device)

    def findings(self, image: ImageSource) -> list[int]:
        """Return a multi-label network's classes of at least 50 %, the most probable first."""
        _, probabilities = self.outputs(self.prepare(image))
        return findings_of(probabilities)

    def __call__(
        self,
        image: ImageSource,
        name: str | None = None,
        target: int | None = None,
        original: Image.Image | None = None,
    ) -> Explanation:
        """
        Explain one image.

        Args:

            image (str, PathLike, PIL.Image.Image or Tensor): As in :meth:`prepare`.
            name (str, optional): Name of the image in the explanation.
                        Default: None (the file, or "image")
            target (int, optional): The class to explain.
                        Default: None (that of the settings)
            original (PIL.Image.Image, optional): Of a prepared input, the image that
                        ``preprocessing`` made it from, for figures.
                        Default: None (the image, unless it is a tensor)

        Raises:

            ValueError: If the image cannot be read or its activations cannot be attributed.
            Exception: Whatever the network raises.
        """
        if name is None:
            name = printable(image) if isinstance(image, (str, os.PathLike)) else "image"
        if isinstance(image, (str, os.PathLike)):
            image = self.preprocessing.read(image)
        if not isinstance(image, Tensor):
            original = image
        inputs = self.prepare(image)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            explanation = self._explain(inputs, name, target)
        messages = dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning)
        notes = [*self.notes, *messages]
        if self.settings.views:
            notes.append(
                f"The maps are means over the views {', '.join(self.settings.views)}; the clusters "
                "are those of the input itself."
            )
        if explanation.gradcam_missing:
            notes.append(explanation.gradcam_missing)
        explanation = replace(explanation, notes=tuple(notes))
        shown = None if original is None else self.preprocessing.shown(original)
        if shown is None:
            return explanation
        return replace(explanation, original_image=shown[0], seen=shown[1])

    def as_maps(self, values: Tensor) -> Array:
        r"""Return an attribution of the layer, (1, k, \*spatial), as maps (k, h, w)."""
        if values.dim() == 3:
            n_prefix, image_side = self.settings.n_prefix, self.preprocessing.size
            side, n_prefix = _grid(values.shape[2], n_prefix, image_side)
            values = tokens_to_map(values, (side, side), n_prefix)
        return _numpy(values)[0]

    def gradcam_method(self) -> LayerAttribution:
        """Return Captum's LayerGradCam of the same layers and score."""
        return self._fused([LayerGradCam(self.score, each.module) for each in self._choices])

    def outputs(self, inputs: Tensor) -> tuple[int, Array]:
        """Return the predicted class of an input and the probability of each class."""
        # A copy, since the model may write into its input.
        with torch.no_grad():
            logits = self.model.module(inputs.clone())
        score = SCORES["sigmoid" if self.settings.multi_label else self.settings.score]
        probabilities = score.probability(lambda logits: logits)(logits)
        return int(class_scores(logits).argmax()), _numpy(probabilities)[0]

    def _explain(self, inputs: Tensor, name: str, target: int | None) -> Explanation:
        settings, model = self.settings, self.model
        predicted, probabilities = self.outputs(inputs)
        if target is None:
            target = predicted if settings.target is None else settings.target
        check_class(model, self.n_classes, target)
        arguments = settings.arguments
        attribution, clusters = self.cam.attribute(
            inputs.clone(), target, return_clusters=True, **arguments
        )
        if settings.views or len(self._choices) > 1:
            method = self._fused([self._method_of(each) for each in self._choices])
            attribution = self._over_views(method).attribute(inputs.clone(), target, **arguments)
        gradcam, gradcam_missing = self._gradcam(inputs, target)
        found = Explanation(
            attribution=self.as_maps(attribution)[0],
            gradcam=None if gradcam is None else self.as_maps(gradcam)[0],
            labels=_numpy(clusters.labels)[0],
            importances=_numpy(clusters.importances)[0],
            maps=self.as_maps(clusters.maps),
            sizes=_numpy(clusters.sizes)[0],
            score=float(clusters.score),
            baseline_score=float(clusters.baseline_score),
            target=target,
            probabilities=probabilities,
            input_image=self.preprocessing.picture(inputs),
            settings=settings,
            image=name,
            model=model.name,
            weights=model.weights,
            preprocessing=self.preprocessing.description,
            gradcam_missing=gradcam_missing,
        )
        names = {index: model.class_name(index) for index in found.top_classes()}
        return replace(found, class_names=names)

    def _gradcam(self, inputs: Tensor, target: int) -> tuple[Tensor | None, str]:
        if not all(choice.has_channels_first for choice in self._choices):
            return None, "LayerGradCam is left out: it takes channels in dimension 1 only."
        try:
            attribution: Tensor = self._over_views(self.gradcam_method()).attribute(
                inputs.clone(), target, attribute_to_layer_input=self.settings.layer_input
            )
        except Exception as error:  # noqa: BLE001
            # A model without gradients (quantized, or under no_grad) is explained all the same.
            return None, f"LayerGradCam is left out: it fails on this model: {one_line(error)}"
        return attribution, ""

    def _fused(self, methods: list[Any]) -> LayerAttribution:
        if len(methods) == 1:
            return cast(LayerAttribution, methods[0])
        return MultiLayerAttribution(methods, self.settings.fusion)

    def _over_views(self, method: LayerAttribution) -> LayerAttribution:
        views = self.settings.views
        return TestTimeAugmentation(method, views) if views else method


def _check_views(views: tuple[str, ...], choice: LayerChoice) -> None:
    # Images are inputs of four dimensions.
    moving = [view.name for view in make_views(views) if view.spatial_dims]
    if moving and len(choice.shape) != 4:
        raise ValueError(
            f"views: {moving[0]!r} moves positions, and layer {choice.name!r} of shape "
            f"{tuple(choice.shape)} is no map. For tokens, TestTimeAugmentation takes a grid."
        )


def _check_alike(choices: Sequence[LayerChoice]) -> None:
    """Raise if the layers are not all maps, or tokens of one number."""
    grids = {
        tuple(n for dim, n in enumerate(each.shape) if dim not in (0, each.channel_dim % 3))
        for each in choices
        if len(each.shape) == 3
    }
    if len(grids) > 1 or (grids and any(len(each.shape) != 3 for each in choices)):
        shapes = ", ".join(f"{each.name!r} {tuple(each.shape)}" for each in choices)
        raise ValueError(
            f"layer: several must all be maps, or all have the same number of tokens; got {shapes}."
        )


def _clusterer(clusters: Any, n_clusters: int, n_channels: int) -> int | Tensor:
    if clusters is None:
        return n_clusters
    if isinstance(clusters, str):
        return read_clusters(clusters, n_channels)
    if len(clusters) != n_channels:
        raise ValueError(f"clusters are for {len(clusters)} channels; the layer has {n_channels}.")
    return torch.tensor(clusters)


def _grid(n_tokens: int, n_prefix: int | None, image_side: int) -> tuple[int, int]:
    """Return the side of the square of patches, and the number of tokens before them."""
    grid = token_grid(n_tokens, n_prefix, image_side)
    if grid is None:
        behind = ", with or without a class token" if n_prefix is None else f" behind {n_prefix}"
        raise ValueError(f"The layer has {n_tokens} tokens, which form no square{behind}.")
    return grid


def _numpy(values: Tensor) -> Array:
    values = values.detach().cpu()
    # NumPy has no bfloat16.
    return np.asarray(values.float() if values.dtype is torch.bfloat16 else values)
