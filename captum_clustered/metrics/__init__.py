"""Metrics of attributions, with Captum's conventions: one value for each example."""

from captum_clustered.metrics.average_drop import average_drop

__all__ = ["average_drop"]
