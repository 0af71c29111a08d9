"""
Comparison of class activation maps: :func:`compare` and its result.

It needs pandas and scipy, tabulate for Markdown and matplotlib for figures. If grad-cam is
installed, its methods can be compared too.
"""

from captum_clustered._errors import needs_extra

with needs_extra("captum_clustered.comparison", "comparison"):
    from captum_clustered.comparison.metrics import Case, Metric
    from captum_clustered.comparison.peers import PeerCAM
    from captum_clustered.comparison.result import Comparison
    from captum_clustered.comparison.runner import compare

__all__ = ["Case", "Comparison", "Metric", "PeerCAM", "compare"]
