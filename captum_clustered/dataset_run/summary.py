"""The mean importance of each cluster over a data set, and the images where it is largest."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from captum_clustered._argument_checks import check_int
from captum_clustered._storage.atomic import write_csv
from captum_clustered._storage.layout import CLUSTER_EXAMPLES, CLUSTER_MEANS
from captum_clustered.dataset_run.reading import Run

COLUMNS = ("index", "item", "label", "target", "importances", "sizes")


@dataclass(frozen=True)
class ClusterMean:
    """
    The importance of one cluster in the images of one class.

    Attributes:

        cluster (int): Number of the cluster.
        channels (int): Number of its channels.
        target (int or None): The explained class; None for all images.
        images (int): Number of images.
        mean (float): Mean importance (drop or Shapley value), in units of the score.
        std (float): Standard deviation over the images.
        positive (float): Share of images in which the cluster raises the score.
    """

    cluster: int
    channels: int
    target: int | None
    images: int
    mean: float
    std: float
    positive: float


@dataclass(frozen=True)
class Example:
    """
    An image in which a cluster has one of its largest importances.

    Attributes:

        cluster (int): Number of the cluster.
        rank (int): 1 for the image with the largest importance.
        index (int): Number of the item.
        item (str): Its name.
        target (int): The explained class.
        label (int or None): The item's class in the data set.
        importance (float): Of the cluster in this image.
    """

    cluster: int
    rank: int
    index: int
    item: str
    target: int
    label: int | None
    importance: float


@dataclass(frozen=True)
class ClusterSummary:
    """
    The network's clusters of channels over a data set, the most important first.

    Attributes:

        means (list[ClusterMean]): Of each cluster over all images, then for each class.
        examples (list[Example]): The images of each cluster.
    """

    means: list[ClusterMean]
    examples: list[Example]

    @property
    def clusters(self) -> list[int]:
        """The clusters in the order of their mean importance over all images."""
        return [mean.cluster for mean in self.means if mean.target is None]

    @property
    def n_images(self) -> int:
        """Number of images that the means are over."""
        return next(mean.images for mean in self.means if mean.target is None)

    def frequent_targets(self, n: int) -> list[int]:
        """Return the n classes that were explained most often, in the order of their numbers."""
        images = {mean.target: mean.images for mean in self.means if mean.target is not None}
        return sorted(sorted(images, key=lambda target: -images[target])[:n])

    def save(self, folder: Path) -> None:
        """Write ``clusters.csv`` and ``cluster_examples.csv``; raise OSError if it fails."""
        means = [
            vars(mean) | {"target": "all" if mean.target is None else mean.target}
            for mean in self.means
        ]
        examples = [vars(example) for example in self.examples]
        for name, kind, rows in (
            (CLUSTER_MEANS, ClusterMean, means),
            (CLUSTER_EXAMPLES, Example, examples),
        ):
            header = [field.name for field in fields(kind)]
            write_csv(folder / name, header, (row.values() for row in rows))


def cluster_summary(run: Run, n_examples: int = 6) -> ClusterSummary:
    """
    Summarize the importance of each cluster over all images of a run.

    One pass over the stored importances gives the means and the images in which each cluster
    is most important. Memory does not grow with the number of images.

    Args:

        run (Run): A run with one clustering for all images: ``fit`` or fixed labels. It need
                    not be complete.
        n_examples (int, optional): Number of images per cluster.
                    Default: 6

    Raises:

        ValueError: If each image has its own clustering, no image is explained yet, or
                    ``n_examples`` is no int of at least 0.

    Examples::

        >>> summary = cluster_summary(explain_dataset(cam, dataset, "out", fit=1000))
        >>> for mean in summary.means:
        ...     print(mean.cluster, mean.target, mean.mean)
        >>> summary.save(Path("out"))
    """
    check_int("n_examples", n_examples, 0)
    if not run.has_shared_clusters:
        raise ValueError(
            "run has a separate clustering for each image, so cluster 3 of one image is not "
            "cluster 3 of another. Use fit (--fit 1000) or fixed labels (--clusters) in a new run."
        )
    sums: dict[int, _Sums] = {}
    best: list[list[tuple[float, int, dict[str, Any]]]] = []
    sizes: list[int] = []
    for table in run.tables(COLUMNS):
        for row in table.filter(table["target"].is_valid()).to_pylist():
            values = np.array(row["importances"], np.float64)
            sizes = sizes or row["sizes"]
            best = best or [[] for _ in sizes]
            sums.setdefault(row["target"], _Sums(len(sizes))).add(values)
            for heap, value in zip(best, values.tolist(), strict=True):
                # Of equal values, the first image stays; no two images have the same number.
                heapq.heappush(heap, (value, -row["index"], row))
                if len(heap) > n_examples:
                    heapq.heappop(heap)
    if not sums:
        raise ValueError("run has no image that is explained.")
    return _summary(sums, best, sizes)


class _Sums:
    def __init__(self, n_clusters: int) -> None:
        self.images = 0
        self.mean = np.zeros(n_clusters)
        self.squares = np.zeros(n_clusters)
        self.positive = np.zeros(n_clusters)

    def add(self, values: Any) -> None:
        """Update by Welford's algorithm, which takes no difference of large sums."""
        self.images += 1
        before = values - self.mean
        self.mean = self.mean + before / self.images
        self.squares = self.squares + before * (values - self.mean)
        self.positive = self.positive + (values > 0)

    @classmethod
    def of_all(cls, parts: Mapping[int, _Sums]) -> _Sums:
        whole = cls(len(next(iter(parts.values())).mean))
        whole.images = sum(part.images for part in parts.values())
        for part in parts.values():
            whole.mean = whole.mean + part.mean * part.images / whole.images
            whole.positive = whole.positive + part.positive
        for part in parts.values():
            whole.squares += part.squares + part.images * (part.mean - whole.mean) ** 2
        return whole

    def means(self, cluster: int, channels: int, target: int | None) -> ClusterMean:
        n = self.images
        return ClusterMean(
            cluster=cluster,
            channels=channels,
            target=target,
            images=n,
            mean=float(self.mean[cluster]),
            std=math.sqrt(self.squares[cluster] / (n - 1)) if n > 1 else math.nan,
            positive=float(self.positive[cluster] / n),
        )


def _summary(
    sums: Mapping[int, _Sums], best: list[list[tuple[float, int, dict[str, Any]]]], sizes: list[int]
) -> ClusterSummary:
    whole = _Sums.of_all(sums)
    order = np.argsort(-whole.mean, kind="stable").tolist()
    parts = [(None, whole), *sorted(sums.items())]
    means = [part.means(j, sizes[j], target) for target, part in parts for j in order]
    examples = [
        Example(j, rank, row["index"], row["item"], row["target"], row["label"], value)
        for j in order
        for rank, (value, _, row) in enumerate(sorted(best[j], reverse=True), 1)
    ]
    return ClusterSummary(means, examples)
