"""Pictures, masks, maps and clusters in few bytes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered.clusters import order_clusters
from captum_clustered.report.content import ClusterPanel, Map
from captum_clustered.visualization.arrays import shrunk
from captum_clustered.visualization.interpolation import WHOLE, Seen
from captum_clustered.visualization.scale import signed_text

# Budgets for all maps of a page together, and for all clusters'. With its pictures, a page of 500
# images under 12 methods, three of them with 10 clusters, stays below 20 MB.
MAP_BYTES = 5_000_000
CLUSTER_BYTES = 3_000_000
# Pictures of a comparison are stored in this size.
PICTURE_SIDE = 224
QUALITY = 80
# An odd number of levels, so that zero stays zero.
LEVELS = 127


def largest_side(n_maps: int, n_bytes: int) -> int:
    """Return the longest side that this number of maps may have within a number of bytes."""
    return max(1, math.isqrt(n_bytes // max(1, n_maps)))


def packed_map(
    values: NDArray[Any], limit: float | None, side: int, extremes: NDArray[Any] | None = None
) -> Map:
    """
    Return a map (height, width) for the page, shrunk by its means to a longest side.

    ``limit`` is the end of its scale, None for its largest absolute value; ``extremes`` are the
    smallest and largest value of a map that was shrunk before.
    """
    exact = np.asarray(values, dtype=np.float64)
    small = shrunk(torch.from_numpy(exact)[None, None], side)[0, 0].numpy()
    low, high = (exact.min(), exact.max()) if extremes is None else extremes
    if limit is None:
        limit = max(-float(low), float(high))
    # Division by a subnormal limit overflows.
    relative = small / limit if limit >= np.finfo(np.float64).tiny else np.zeros_like(small)
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

    The arrays have shapes (k,), (k,), (k, height, width) and (k, 2): ``ranges`` are the maps'
    smallest and largest values before they were shrunk. ``n_clusters`` counts also clusters that
    were not stored; the map averages ``n_runs`` clusterings.
    """
    order = order_clusters(importances, sizes)
    limit = float(np.abs(ranges[order]).max(initial=0))
    packed = [packed_map(maps[j], limit, side, ranges[j]) for j in order]
    n = len(order)
    count = f"{n} of {n_clusters} clusters" if n_clusters > n else counted(n, "cluster")
    title = f"{count} of channels, by {IMPORTANCES[importance].criterion}"
    scale = f"Colors of all these clusters: from {signed_text(-limit)} to {signed_text(limit)}."
    if n_clusters > n:
        scale += " Less important clusters are left out."
    if n_runs > 1:
        scale += f" These are the first of the {n_runs} clusterings that the map averages."
    return ClusterPanel(
        title=f"{method}: {title}" if method else f"{title} ({unit})" if unit else title,
        scale=scale,
        importances=[signed_text(float(importances[j])) for j in order],
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


def packed_seen(seen: Seen | None) -> list[float]:
    """Return the part that the network saw, exact to a hundredth of a pixel; None: the whole."""
    return [round(share, 5) for share in seen or WHOLE]


def packed_mask(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of runs of equal pixels in reading order; the first is outside."""
    flat = np.concatenate([[False], mask.ravel(), [not mask.ravel()[-1]]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(length) for length in np.diff(np.concatenate([[0], changes]))]


def class_facts(label: int | None, prediction: int, class_name: Callable[[int], str]) -> list[str]:
    """Return phrases on the true class, if it is known, and the predicted one."""
    predicted = f"predicted: {class_name(prediction)}"
    if label is None:
        return [predicted]
    verdict = "right" if label == prediction else "wrong"
    return [f"true class: {class_name(label)}", f"{predicted} ({verdict})"]


def rounded(value: float | None) -> float | None:
    """Round to the four digits that the page shows at most; return None for NaN and infinity."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")


def unsigned(value: float) -> str:
    """Return a number for the page, with a sign only if it is negative."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def counted(n: int, what: str) -> str:
    """Return "1 image" or "2 images"."""
    return f"{n} {what}{'s' if n != 1 else ''}"
