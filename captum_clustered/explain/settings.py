"""How images are explained."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Union

from torch import Tensor

from captum_clustered._scalings import SCALINGS
from captum_clustered.multi_layer_attribution import FUSIONS
from captum_clustered.views import view_names

SavedClusters = Union[str, "os.PathLike[str]", Tensor, Sequence[int], None]


@dataclass(frozen=True)
class ExplainerSettings:
    """
    How to explain an image: the layer, the score and the method's arguments.

    The defaults are those of :class:`captum_clustered.ClusteredLayerCAM`.

    Attributes:

        layer (str or Sequence[str], optional): The layer's name in the model. The maps of
                    several layers are fused, and the clusters are those of the last one.
                    Default: "" (the one of :func:`captum_clustered.models.find_layer`)
        layer_input (bool, optional): Whether to attribute to the layer's input.
                    Default: False
        target (int, optional): The class to explain.
                    Default: None (the predicted class of each image)
        score (str, optional): The score that drops are measured in: "logit", or the name of a
                    function of :mod:`captum_clustered.scores`.
                    Default: "logit"
        multi_label (bool, optional): Whether classes do not exclude each other. Then each has
                    the sigmoid of its logit as its probability, and those of at least 50 % are
                    findings.
                    Default: False
        n_clusters (int, optional): Number of clusters of channels.
                    Default: 10
        clusters (str, PathLike, Tensor or Sequence[int], optional): Saved clusters instead:
                    the cluster of each channel, or what :func:`read_clusters` takes.
                    Default: None
        scaling, importance (str, optional): As in ``ClusteredLayerCAM``.
        n_clusterings, n_samples, seed, channel_dim (int, optional): As in ``ClusteredLayerCAM``.
        n_prefix (int, optional): Number of a transformer's tokens before those of the patches.
                    Default: None (what their number and the input's size say)
        layer_baselines (float, optional): As in ``ClusteredLayerCAM.attribute``, a number.
                    Default: None (zero)
        perturbations_per_eval (int, optional): As in ``ClusteredLayerCAM.attribute``.
                    Default: None (all)
        views (tuple[str, ...], optional): Views that maps are averaged over, as texts of
                    :func:`captum_clustered.views.make_view`: ("identity", "hflip"). Clusters
                    are those of the input itself.
                    Default: () (no views)
        fusion (str, optional): How the maps of several layers are fused, as in
                    :class:`captum_clustered.MultiLayerAttribution`: "mean" or "max".
                    Default: "mean"
    """

    layer: str | Sequence[str] = ""
    layer_input: bool = False
    target: int | None = None
    score: str = "logit"
    multi_label: bool = False
    n_clusters: int = 10
    clusters: SavedClusters = None
    scaling: str = "drop"
    importance: str = "ablation"
    n_clusterings: int = 1
    n_samples: int = 25
    seed: int = 0
    channel_dim: int = 1
    n_prefix: int | None = None
    layer_baselines: float | None = None
    perturbations_per_eval: int | None = None
    views: tuple[str, ...] = ()
    fusion: str = "mean"

    def __post_init__(self) -> None:
        """Keep each setting as JSON can: a path, a tuple of numbers or of texts."""
        clusters = self.clusters
        if isinstance(clusters, Tensor):
            clusters = clusters.tolist()
        if isinstance(clusters, os.PathLike):
            clusters = os.fspath(clusters)
        if clusters is not None and not isinstance(clusters, str):
            clusters = tuple(map(int, clusters))
        object.__setattr__(self, "clusters", clusters)
        object.__setattr__(self, "views", view_names(self.views))
        # One name is itself, so that a list of one layer is no other setting.
        layers = self.layers
        object.__setattr__(self, "layer", layers[0] if len(layers) == 1 else layers)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers; one empty name stands for the usual layer."""
        return (self.layer,) if isinstance(self.layer, str) else tuple(self.layer) or ("",)

    @property
    def layer_names(self) -> str:
        """The names of the layers, for texts."""
        return ", ".join(self.layers)

    @property
    def fused(self) -> str:
        """How the maps of several layers are fused, for texts; "" for one layer."""
        if len(self.layers) == 1:
            return ""
        return f"{FUSIONS[self.fusion].label} over the layers, with equal mass"

    @property
    def is_additive(self) -> bool:
        """Whether a map sums to the importances and so is in units of the score."""
        return SCALINGS[self.scaling].is_additive and not self.fused

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of ``ClusteredLayerCAM.attribute`` besides inputs and target."""
        return {
            "attribute_to_layer_input": self.layer_input,
            "layer_baselines": self.layer_baselines,
            "perturbations_per_eval": self.perturbations_per_eval,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the settings as values that JSON has."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ExplainerSettings:
        """
        Return the settings among the values of :meth:`to_json`; other keys are ignored.

        Raises:

            KeyError: If a setting is missing.
        """
        return cls(**{field.name: values[field.name] for field in fields(cls)})
