"""Clustered-CAM for Captum: class activation maps without gradients."""

from captum_clustered import metrics, scores
from captum_clustered._version import __version__
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.clusters import Clusters
from captum_clustered.input_attribution import InputAttribution
from captum_clustered.tokens import tokens_to_map

__all__ = [
    "ClusteredLayerCAM",
    "Clusters",
    "InputAttribution",
    "__version__",
    "metrics",
    "scores",
    "tokens_to_map",
]
