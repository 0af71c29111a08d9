"""
Comparing class activation maps: :func:`compare` and its result.

Needs pandas and scipy, tabulate for Markdown and matplotlib for figures; with grad-cam
installed, its methods can be compared, too.
"""

try:
    from captum_clustered.comparison.case import Case
    from captum_clustered.comparison.metrics import Metric
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
