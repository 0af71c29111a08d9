"""Pictures, masks, maps and clusters in few bytes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered.clusters import order_clusters
from captum_clustered.report.content import ClusterPanel, Map
from captum_clustered.visualization.arrays import shrunk

# Budgets for all maps of a page together, and for all clusters'. With its pictures, a page of 500
# images under 12 methods, three of them with 10 clusters, stays below 20 MB.
MAP_BYTES = 5_000_000
CLUSTER_BYTES = 3_000_000
# Pictures of a comparison are stored in this size.
PICTURE_SIDE = 224
QUALITY = 80
# An odd number of levels, so that zero stays zero.
LEVELS = 127
MINUS = "\N{MINUS SIGN}"


def largest_side(n_maps: int, n_bytes: int) -> int:
    """Return the longest side that this number of maps may have within a number of bytes."""
    return max(1, math.isqrt(n_bytes // max(1, n_maps)))


def limit_of(maps: Sequence[NDArray[Any]]) -> float:
    """Return the largest absolute value, the end of a zero-centered scale that the maps share."""
    return max((float(np.abs(values).max()) for values in maps), default=0.0)


def packed_map(
    values: NDArray[Any], limit: float, side: int, extremes: NDArray[Any] | None = None
) -> Map:
    """
    Return a map for the page.

    Args:

        values (numpy.ndarray): Shape (height, width).
        limit (float): End of its scale, at least the largest absolute value.
        side (int): The longest side; larger maps are shrunk by their means.
        extremes (numpy.ndarray, optional): The smallest and the largest value of a map that
                    was shrunk before.
                    Default: None (those of the values)
    """
    exact = np.asarray(values, dtype=np.float64)
    small = shrunk(torch.from_numpy(exact)[None, None], side)[0, 0].numpy()
    # Division by a subnormal limit overflows.
    relative = small / limit if limit >= np.finfo(np.float64).tiny else np.zeros_like(small)
    low, high = (exact.min(), exact.max()) if extremes is None else extremes
    levels = np.round(LEVELS * np.clip(relative, -1, 1)).astype(np.int8)
    return Map(
        height=levels.shape[0],
        width=levels.shape[1],
        low=rounded(float(low)) or 0.0,
        high=rounded(float(high)) or 0.0,
        limit=rounded(limit) or 0.0,
        values=base64.b64encode(levels.tobytes()).decode("ascii"),
    )


def packed_clusters(
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
) -> ClusterPanel:
    """
    Return the clusters behind a map for the page, without those that have no channels.

    Args:

        importances (numpy.ndarray): Shape (k,).
        sizes (numpy.ndarray): Numbers of channels, shape (k,).
        maps (numpy.ndarray): Shape (k, height, width).
        ranges (numpy.ndarray): Smallest and largest value of each map before it was shrunk,
                    shape (k, 2).
        side (int): The longest side; larger maps are shrunk by their means.
        importance (str): A name in ``IMPORTANCES``.
        method (str, optional): The method's name.
                    Default: "" (there is one method only)
        unit (str, optional): Unit of the importances.
                    Default: "" (unknown)
        n_clusters (int, optional): Number of all clusters, if some are left out.
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
        scale += " Less important clusters are left out."
    if n_runs > 1:
        scale += f" These are the first of the {n_runs} clusterings that the map averages."
    return ClusterPanel(
        title=f"{method}: {title}" if method else f"{title} ({unit})" if unit else title,
        scale=scale,
        importances=[signed(float(importances[j])) for j in order],
        sizes=[int(sizes[j]) for j in order],
        height=packed[0].height if packed else 0,
        width=packed[0].width if packed else 0,
        ranges=[(each.low, each.high) for each in packed],
        values=[each.values for each in packed],
    )


def packed_picture(picture: NDArray[np.uint8]) -> tuple[str, int, int]:
    """Return a picture (height, width, 1 or 3) as WebP in base64, with its height and width."""
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY)
    return base64.b64encode(file.getvalue()).decode("ascii"), image.height, image.width


def packed_mask(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of runs of equal pixels in reading order; the first is outside."""
    flat = np.concatenate([[False], mask.ravel(), [not mask.ravel()[-1]]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(length) for length in np.diff(np.concatenate([[0], changes]))]


def rounded(value: float | None) -> float | None:
    """Round to the four digits that the page shows at most; return None for NaN and infinity."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")


def signed(value: float) -> str:
    """Return a number with its sign for the page."""
    # A true minus sign, as wide as the plus.
    return "0" if not rounded(value) else f"{value:+.3g}".replace("-", MINUS)


def unsigned(value: float) -> str:
    """Return a number for the page, with a sign only if it is negative."""
    return f"{value:.4g}".replace("-", MINUS)


def counted(n: int, what: str) -> str:
    """Return "1 image" or "2 images"."""
    return f"{n} {what}{'s' if n != 1 else ''}"
