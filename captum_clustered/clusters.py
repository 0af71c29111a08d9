"""The clusters of channels behind an attribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Clusters", "order_clusters"]

TensorOrTensors = Union[Tensor, tuple[Tensor, ...]]


@dataclass(frozen=True, repr=False)
class Clusters:
    r"""
    The clusters of each example's channels, and their importances and maps.

    N is the number of examples, C of channels and k of clusters. A cluster that is empty in an
    example has size, importance and map 0. If ``n_clusterings`` is above 1, these are the
    clusters of the first clustering. For a layer of several tensors, all attributes except the
    scores are tuples with one entry per tensor.

    Attributes:

        labels (Tensor): Cluster of each channel, shape (N, C), int64, 0..k-1.
        importances (Tensor): Importance of each cluster in units of the score, shape (N, k).
        maps (Tensor): Share of each cluster in the attribution before any ReLU, shape
                    (N, k, \*spatial). With ``n_clusterings=1`` their sum over the clusters is
                    the attribution.
        sizes (Tensor): Number of channels in each cluster, shape (N, k), int64.
        score (Tensor): Score f(A) of each example, shape (N,).
        baseline_score (Tensor): Score f(B) with the whole layer ablated, shape (N,).

    Examples::

        >>> attribution, clusters = cam.attribute(x, target=1, return_clusters=True)
        >>> best = clusters.importances[0].argmax()
        >>> clusters.maps[0, best]  # where the most important cluster is active
    """

    labels: TensorOrTensors
    importances: TensorOrTensors
    maps: TensorOrTensors
    sizes: TensorOrTensors
    score: Tensor
    baseline_score: Tensor

    def __repr__(self) -> str:
        """Say in one line how many there are, and of what."""
        parts = self.maps if isinstance(self.maps, tuple) else (self.maps,)
        kinds = [
            f"{maps.shape[1]} clusters with maps {' x '.join(map(str, maps.shape[2:]))}"
            for maps in parts
        ]
        n = len(self.score)
        return f"Clusters({n} example{'' if n == 1 else 's'}, {' and '.join(kinds)})"

    def first(self, n: int) -> Clusters:
        """Return the clusters of the first n examples."""
        values: dict[str, Any] = {
            name: tuple(part[:n] for part in value) if isinstance(value, tuple) else value[:n]
            for name, value in vars(self).items()
        }
        return Clusters(**values)


# torch.load reads them by its defaults, which unpickle registered classes only.
torch.serialization.add_safe_globals([Clusters])


def order_clusters(
    importances: NDArray[Any], sizes: NDArray[Any], max_clusters: int | None = None
) -> list[int]:
    """
    Return one example's clusters that have channels, the most important first.

    Importances and sizes are those of the k clusters. Of more than max_clusters, those with the
    largest absolute importance are returned.
    """
    order = [int(j) for j in np.argsort(-importances, kind="stable") if sizes[j] > 0]
    strongest = set(sorted(order, key=lambda j: -abs(float(importances[j])))[:max_clusters])
    return [j for j in order if j in strongest]
