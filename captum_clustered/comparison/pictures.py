"""What a report shows of a batch: small pictures of its images, their masks and all maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from captum_clustered._maps import ClusterAttribution
from captum_clustered.comparison.data import Batch
from captum_clustered.comparison.kept_clusters import KeptClusters

# The longer side of pictures, and of maps that are not of a layer's size, such as a mask's.
SIDE = 224
MAP_SIDE = 64


@dataclass
class Pictures:
    r"""
    Of the n images of a batch that were compared; empty where images are not 2-D.

    Attributes:

        images (numpy.ndarray or None): Shape (n, height, width, 1 or 3), from 0 to 255.
        masks (numpy.ndarray or None): Shape (n, height, width), boolean.
        maps (dict): Method -> its maps with their sign, shape (n, \*spatial of the layer),
                    NaN where it failed. Without the methods that failed on all of them.
        ranges (dict): Method -> its maps' smallest and largest values, which large maps do
                    not keep here, shape (n, 2).
        clusters (dict): Method -> the clusters behind its maps, of those that have them.
    """

    images: NDArray[np.uint8] | None = None
    masks: NDArray[np.bool_] | None = None
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    ranges: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    clusters: dict[str, KeptClusters] = field(default_factory=dict)

    def start(self, batch: Batch) -> None:
        """Takes the images and their masks."""
        if batch.inputs.dim() != 4:
            return
        small = shrunk(torch.stack([stretched(image) for image in batch.inputs]), SIDE)
        if (small == small[:, :1]).all():
            # Gray in three channels.
            small = small[:, :1]
        self.images = as_bytes(small)
        if batch.masks is not None:
            masks = shrunk(batch.masks.float(), SIDE) >= 0.5
            self.masks = masks[:, 0].cpu().numpy()

    def add(self, method: str, indices: list[int], maps: Tensor) -> None:
        """Takes a method's maps (N, 1, height, width) of some of the images."""
        if self.images is None:
            return
        maps = maps.detach().float()
        extremes = torch.stack(maps.flatten(1).aminmax(dim=1), 1)
        self.maps[method] = self._of_all(indices, shrunk(maps, MAP_SIDE)[:, 0])
        self.ranges[method] = self._of_all(indices, extremes)

    def add_clusters(
        self, method: str, parts: list[tuple[list[int], ClusterAttribution | None]]
    ) -> None:
        """
        Takes the clusters behind a method's maps of some of the images, where there are any.

        Raises:

            ValueError: If they are not finite.
        """
        known = [(indices, result) for indices, result in parts if result is not None]
        if self.images is None or not known:
            return
        self.clusters[method] = KeptClusters.of(
            len(self.images), known, lambda maps: shrunk(maps, MAP_SIDE)
        )

    def _of_all(self, indices: list[int], values: Tensor) -> NDArray[np.float32]:
        n = 0 if self.images is None else len(self.images)
        found = np.full((n, *values.shape[1:]), np.nan, np.float32)
        found[indices] = values.cpu().numpy()
        return found

    def write(self, file: IO[bytes]) -> None:
        """Writes all of it as arrays (.npz)."""
        arrays: dict[str, Any] = {"methods": np.array(list(self.maps), dtype=np.str_)}
        if self.images is not None:
            arrays["images"] = self.images
        if self.masks is not None:
            arrays["masks"] = self.masks
        # Names of methods may have any letters, those of files in an archive may not.
        for kind in ("maps", "ranges"):
            found = getattr(self, kind)
            arrays |= {f"{kind}_{i}": values for i, values in enumerate(found.values())}
        for i, method in enumerate(self.maps):
            if method in self.clusters:
                arrays |= self.clusters[method].arrays(_prefix(i))
        np.savez_compressed(file, **arrays)

    @classmethod
    def read(cls, path: Path) -> Pictures:
        """
        What :meth:`write` has written.

        Raises:

            ValueError: If the file holds something else, or only part of it.
        """
        try:
            # Of a damaged file that it had opened itself, np.load leaves the handle open.
            with path.open("rb") as file, np.load(file) as arrays:
                methods = arrays["methods"].tolist()
                clusters = {
                    method: KeptClusters.read(arrays, _prefix(i))
                    for i, method in enumerate(methods)
                }
                return cls(
                    arrays.get("images"),
                    arrays.get("masks"),
                    {method: arrays[f"maps_{i}"] for i, method in enumerate(methods)},
                    {method: arrays[f"ranges_{i}"] for i, method in enumerate(methods)},
                    {method: kept for method, kept in clusters.items() if kept is not None},
                )
        except (ValueError, TypeError, AttributeError, KeyError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path} is damaged or holds no pictures of a batch.") from error


def _prefix(i: int) -> str:
    return f"clusters_{i}_"


def stretched(image: Tensor) -> Tensor:
    """An image (channels, height, width) in color or gray, stretched to its own range."""
    shown = image.detach().float()
    if len(shown) != 3:
        shown = shown.mean(0, keepdim=True)
    low, high = shown.amin(), shown.amax()
    return (shown - low) / (high - low).clamp(min=1e-12)


def shrunk(pictures: Tensor, side: int) -> Tensor:
    """Pictures (N, channels, height, width) whose longer side is not above ``side``."""
    height, width = pictures.shape[2:]
    scale = side / max(height, width)
    if scale >= 1:
        return pictures
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return F.interpolate(pictures, size, mode="area")


def as_bytes(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures (N, channels, height, width) in [0, 1] as (N, height, width, channels)."""
    values = (pictures.clamp(0, 1) * 255).round().to(torch.uint8)
    return values.permute(0, 2, 3, 1).contiguous().cpu().numpy()
