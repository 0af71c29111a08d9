"""Figures of attributions, in the way of :mod:`captum.attr.visualization`."""

from captum_clustered.visualization.image_attr import visualize_image_attr

__all__ = ["visualize_image_attr"]
