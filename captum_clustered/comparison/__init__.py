"""
Comparison of class activation maps: :func:`compare` and its result.

It needs pandas and scipy, tabulate for Markdown and matplotlib for figures. If grad-cam is
installed, its methods can be compared too.
"""

try:
    from captum_clustered.comparison.metrics import Case, Metric
    from captum_clustered.comparison.peers import PeerCAM
    from captum_clustered.comparison.result import Comparison
    from captum_clustered.comparison.runner import compare
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"captum_clustered.comparison needs {error.name}, which is not installed. Install "
        "captum_clustered[comparison].",
        name=error.name,
    ) from error

__all__ = ["Case", "Comparison", "Metric", "PeerCAM", "compare"]
