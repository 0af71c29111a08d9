"""Figures of attributions, in the way of :mod:`captum.attr.visualization`."""

from captum_clustered.visualization.blend import overlay
from captum_clustered.visualization.clusters import visualize_clusters
from captum_clustered.visualization.contact_sheet import SheetCell, SheetRow, draw_contact_sheet
from captum_clustered.visualization.explanation import draw_explanation
from captum_clustered.visualization.image_attr import (
    visualize_image_attr,
    visualize_image_attr_multiple,
)
from captum_clustered.visualization.layer_attr import visualize_layer_attr
from captum_clustered.visualization.methods import visualize_methods
from captum_clustered.visualization.palette import to_rgba
from captum_clustered.visualization.volume import visualize_volume

__all__ = [
    "SheetCell",
    "SheetRow",
    "draw_contact_sheet",
    "draw_explanation",
    "overlay",
    "to_rgba",
    "visualize_clusters",
    "visualize_image_attr",
    "visualize_image_attr_multiple",
    "visualize_layer_attr",
    "visualize_methods",
    "visualize_volume",
]
