"""Pictures, masks and maps in few bytes."""

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

from captum_clustered.comparison.pictures import SIDE, shrunk
from captum_clustered.report.content import Map

# Of all maps of a page together, and of all clusters': with its pictures, 500 images under 12
# methods, three of them with 10 clusters, stay below 20 MB.
MAP_BYTES = 5_000_000
CLUSTER_BYTES = 3_000_000
QUALITY = 80
# Zero is in the middle, so that it stays zero.
LEVELS = 127


def largest_side(n_maps: int, n_bytes: int) -> int:
    """The longer side that so many maps in so many bytes may have."""
    return max(1, math.isqrt(n_bytes // max(1, n_maps)))


def limit_of(maps: Sequence[NDArray[Any]]) -> float:
    """The largest absolute value, which ends a zero-centered scale that the maps share."""
    return max((float(np.abs(values).max()) for values in maps), default=0.0)


def packed_map(
    values: NDArray[Any], limit: float, side: int, extremes: NDArray[Any] | None = None
) -> Map:
    """
    A map for the page.

    Args:

        values (numpy.ndarray): Shape (height, width).
        limit (float): End of its scale, at least the largest absolute value.
        side (int): The longest side; larger maps are shrunk by their means.
        extremes (numpy.ndarray, optional): The smallest and the largest value, of a map that
                    was shrunk before.
                    Default: None (those of the values)
    """
    exact = np.asarray(values, dtype=np.float64)
    small = shrunk(torch.from_numpy(exact)[None, None], side)[0, 0].numpy()
    # A subnormal limit cannot be divided by.
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


def packed_picture(picture: NDArray[np.uint8]) -> tuple[str, int, int]:
    """A picture (height, width, 1 or 3) as WebP in base64, its height and its width."""
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY)
    return base64.b64encode(file.getvalue()).decode("ascii"), image.height, image.width


def packed_mask(mask: NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of equal pixels in reading order, the first outside."""
    flat = np.concatenate([[False], mask.ravel(), [not mask.ravel()[-1]]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(length) for length in np.diff(np.concatenate([[0], changes]))]


def rounded(value: float | None) -> float | None:
    """Four digits, which is more than is read; None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")
