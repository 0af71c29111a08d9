"""
Explain images and volumes, from files or tensors, with a result that can be saved and loaded.

What ``captum-clustered explain`` does, for Python.
"""

from captum_clustered.explain.explainer import ImageExplainer
from captum_clustered.explain.explanation import Explanation
from captum_clustered.explain.saved_clusters import read_clusters
from captum_clustered.explain.settings import ExplainerSettings
from captum_clustered.explain.volumes import VolumeExplainer

__all__ = ["ExplainerSettings", "Explanation", "ImageExplainer", "VolumeExplainer", "read_clusters"]
