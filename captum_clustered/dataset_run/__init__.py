"""Explain whole data sets in runs that can be interrupted, on one machine or many."""

from captum_clustered._errors import needs_extra

with needs_extra("captum_clustered.dataset_run", "run"):
    from captum_clustered.dataset_run.engine import LocalEngine
    from captum_clustered.dataset_run.ray import RayEngine
    from captum_clustered.dataset_run.reading import Run
    from captum_clustered.dataset_run.run import explain_dataset
    from captum_clustered.dataset_run.sheet import draw_clusters
    from captum_clustered.dataset_run.summary import (
        ClusterMean,
        ClusterSummary,
        Example,
        cluster_summary,
    )

__all__ = [
    "ClusterMean",
    "ClusterSummary",
    "Example",
    "LocalEngine",
    "RayEngine",
    "Run",
    "cluster_summary",
    "draw_clusters",
    "explain_dataset",
]
