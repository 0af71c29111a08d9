"""The clusters of channels behind a method's maps of a batch, as a report shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captum_clustered._maps import ClusterAttribution

# Of an image. More are rarely looked at, and one for each channel would fill the disk.
MOST_CLUSTERS = 20


@dataclass(frozen=True)
class KeptClusters:
    """
    Of n images; those of the first clustering, where several are averaged.

    Attributes:

        importance (str): What importances are, a name in ``IMPORTANCES``.
        n_runs (int): Number of clusterings that the method averages.
        n_clusters (numpy.ndarray): How many clusters with channels an image has, shape (n,); 0
                    where the method failed. Of more than ``MOST_CLUSTERS``, those of the
                    largest absolute importance are here.
        maps (numpy.ndarray): What each adds to the method's map, shape (n, k, height, width).
        ranges (numpy.ndarray): The maps' smallest and largest values, which large maps do
                    not keep here, shape (n, k, 2).
        importances (numpy.ndarray): Shape (n, k).
        sizes (numpy.ndarray): Numbers of channels, shape (n, k); 0 where there is no cluster.
    """

    importance: str
    n_runs: int
    n_clusters: NDArray[np.int64]
    maps: NDArray[np.float32]
    ranges: NDArray[np.float32]
    importances: NDArray[np.float32]
    sizes: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        n_images: int,
        parts: list[tuple[list[int], ClusterAttribution]],
        small: Callable[[Tensor], Tensor],
    ) -> KeptClusters:
        """
        Args:

            n_images (int): The number n of images.
            parts (list): Places of some of the images, and what their maps were made of.
            small (Callable): Makes maps (N, k, height, width) as small as maps are kept.

        Raises:

            ValueError: If a map or an importance is not finite.
        """
        found = [(some, *_most_important(result)) for some, result in parts]
        # Clusters of a clusterer may be more on one image than on another.
        k = max(sizes.shape[1] for *_, sizes, _ in found)

        def of_all(values: list[Tensor]) -> NDArray[Any]:
            kept = values[0].new_zeros(n_images, k, *values[0].shape[2:])
            for (some, *_), value in zip(found, values, strict=True):
                kept[some, : value.shape[1]] = value
            return kept.cpu().numpy()

        n_clusters = np.zeros(n_images, np.int64)
        for some, *_, counts in found:
            n_clusters[some] = counts.cpu()
        return cls(
            parts[0][1].importance.name,
            parts[0][1].n_clusterings,
            n_clusters,
            of_all([small(maps) for _, maps, *_ in found]),
            of_all([torch.stack(maps.flatten(2).aminmax(dim=2), 2) for _, maps, *_ in found]),
            of_all([importances for _, _, importances, *_ in found]),
            of_all([sizes for *_, sizes, _ in found]),
        )

    def arrays(self, prefix: str) -> dict[str, Any]:
        """All of it, under names that start with the prefix."""
        return {f"{prefix}{name}": np.asarray(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, arrays: Mapping[str, Any], prefix: str) -> KeptClusters | None:
        """
        What :meth:`arrays` gave, or None if it is not there.

        Raises:

            KeyError: If only part of it is there.
        """
        if f"{prefix}maps" not in arrays:
            return None
        values = {each.name: arrays[prefix + each.name] for each in fields(cls)}
        values["importance"] = str(values["importance"])
        values["n_runs"] = int(values["n_runs"])
        return cls(**values)


def _most_important(result: ClusterAttribution) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Maps, importances and sizes of the clusters to keep, and the number of clusters."""
    clusters = result.clusters()
    maps, importances, sizes = clusters.maps, clusters.importances, clusters.sizes
    if isinstance(maps, tuple) or isinstance(importances, tuple) or isinstance(sizes, tuple):
        raise ValueError("the layer has several tensors, whose clusters have no common map.")
    if not (torch.isfinite(maps).all() and torch.isfinite(importances).all()):
        raise ValueError("maps or importances of its clusters are not finite.")
    # An empty cluster only where there are not enough others.
    order = torch.where(sizes > 0, importances.abs(), -1).argsort(
        dim=1, descending=True, stable=True
    )
    kept = order[:, :MOST_CLUSTERS].sort(1).values
    rows = torch.arange(len(kept), device=kept.device)[:, None]
    return (
        maps[rows, kept].float(),
        importances[rows, kept].float(),
        sizes[rows, kept],
        (sizes > 0).sum(1),
    )
