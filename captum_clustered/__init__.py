"""Clustered-CAM for Captum: class activation maps without gradients."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from captum_clustered import metrics, scores, visualization
from captum_clustered._version import __version__
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.clusters import Clusters
from captum_clustered.input_attribution import InputAttribution
from captum_clustered.tokens import tokens_to_map

if TYPE_CHECKING:
    from captum_clustered import data
    from captum_clustered.comparison import Comparison, compare

__all__ = [
    "ClusteredLayerCAM",
    "Clusters",
    "Comparison",
    "InputAttribution",
    "__version__",
    "compare",
    "data",
    "metrics",
    "scores",
    "tokens_to_map",
    "visualization",
]


def __getattr__(name: str) -> Any:
    # Only these need pandas or torchvision, which the library does without.
    if name == "data":
        return import_module("captum_clustered.data")
    if name in ("Comparison", "compare"):
        from captum_clustered import comparison

        return getattr(comparison, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
