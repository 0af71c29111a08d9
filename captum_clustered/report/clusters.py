"""What unfolds below an image: the clusters of channels behind one of its maps."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered.clusters import order_clusters
from captum_clustered.report.content import Clusters
from captum_clustered.report.packing import limit_of, packed_map, rounded


def shown_clusters(
    importances: NDArray[Any],
    sizes: NDArray[Any],
    maps: NDArray[Any],
    ranges: NDArray[Any],
    *,
    side: int,
    importance: str,
    method: str = "",
    unit: str = "",
    n_clusters: int = 0,
    n_runs: int = 1,
) -> Clusters:
    """
    Clusters without channels are left out.

    Args:

        importances (numpy.ndarray): Shape (k,).
        sizes (numpy.ndarray): Numbers of channels, shape (k,).
        maps (numpy.ndarray): Shape (k, height, width).
        ranges (numpy.ndarray): The smallest and the largest value of each map, before it was
                    shrunk, shape (k, 2).
        side (int): The longest side; larger maps are shrunk by their means.
        importance (str): What importances are, a name in ``IMPORTANCES``.
        method (str, optional): Whose they are.
                    Default: "" (there is no other)
        unit (str, optional): What importances are measured in.
                    Default: "" (it is not known)
        n_clusters (int, optional): Their number, if these are not all of them.
                    Default: 0 (these are all)
        n_runs (int, optional): Number of clusterings that the map averages.
                    Default: 1
    """
    order = order_clusters(importances, sizes)
    limit = limit_of([ranges[order]]) if order else 0.0
    packed = [packed_map(maps[j], limit, side, ranges[j]) for j in order]
    n = len(order)
    count = f"{n} of {n_clusters}" if n_clusters > n else str(n)
    criterion = IMPORTANCES[importance].criterion
    title = f"{count} cluster{'s' if count != '1' else ''} of channels, by {criterion}"
    scale = f"Colors of all these clusters: from {signed(-limit)} to {signed(limit)}."
    if n_clusters > n:
        scale += " Those of less importance are left out."
    if n_runs > 1:
        scale += f" They are the first of the {n_runs} clusterings that the map averages."
    return Clusters(
        title=f"{method}: {title}" if method else f"{title} ({unit})" if unit else title,
        scale=scale,
        importances=[signed(float(importances[j])) for j in order],
        sizes=[int(sizes[j]) for j in order],
        height=packed[0].height if packed else 0,
        width=packed[0].width if packed else 0,
        ranges=[(each.low, each.high) for each in packed],
        values=[each.values for each in packed],
    )


def signed(value: float) -> str:
    """A number as it is read, with its sign."""
    # A true minus sign, as wide as the plus.
    return "0" if not rounded(value) else f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")
