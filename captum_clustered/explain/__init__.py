"""
Explain images, from files or tensors, with a result that can be saved and loaded.

What ``captum-clustered explain`` does, for Python.
"""

from captum_clustered.explain.explainer import ImageExplainer
from captum_clustered.explain.explanation import Explanation
from captum_clustered.explain.saved_clusters import read_clusters
from captum_clustered.explain.settings import ExplainerSettings

__all__ = ["ExplainerSettings", "Explanation", "ImageExplainer", "read_clusters"]
