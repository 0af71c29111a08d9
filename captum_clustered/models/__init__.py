"""
Load networks by name, list their layers and choose one.

What ``--model``, ``--weights`` and ``--layer`` mean on the command line, for Python.
"""

from captum_clustered._layer_shapes import LayerKind
from captum_clustered.models.base import Model, example_input
from captum_clustered.models.layers import (
    LayerInfo,
    find_layer,
    get_layer,
    list_layers,
    usual_layer,
)
from captum_clustered.models.load import load_model, load_skeleton
from captum_clustered.models.weights import load_weights

__all__ = [
    "LayerInfo",
    "LayerKind",
    "Model",
    "example_input",
    "find_layer",
    "get_layer",
    "list_layers",
    "load_model",
    "load_skeleton",
    "load_weights",
    "usual_layer",
]
