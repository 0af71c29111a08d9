"""Turn the argument ``clusterer`` into labels of channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Union

import torch
from torch import Tensor

from captum_clustered._argument_checks import is_int
from captum_clustered._clustering.kmeans import kmeans
from captum_clustered._subclasses import plain


class SupportsFitPredict(Protocol):
    """An object with scikit-learn's ``fit_predict``."""

    def fit_predict(self, X: Any, y: Any = None) -> Any: ...  # noqa: N803


ClustererType = Union[
    None,
    int,
    SupportsFitPredict,
    Callable[[Tensor], Any],
    Tensor,
    tuple[Tensor, ...],
]


class Clusterer:
    """
    Base class: clusters the channels of each example R times.

    Attributes:

        n_clusterings (int): Number of clusterings R of each example.
        n_clusters (int or None): Number of clusters, if it is known before the data is seen.
        n_tensors (int or None): Number of tensors that the layer must have; None means any.
        on_device (bool): Whether labels are computed on the data's device, without waiting
                    for it.
    """

    n_clusterings: int = 1
    n_clusters: int | None = None
    n_tensors: int | None = None
    on_device: bool = False

    def __call__(self, features: Tensor, index: int, n_init: int = 1) -> tuple[Tensor, int]:
        """
        Cluster the channels of one of the layer's tensors.

        Args:

            features (Tensor): Shape (N, C, P), float32 or float64.
            index (int): Which of the layer's tensors the features come from.
            n_init (int): Number of restarts, for k-means.

        Returns:
            tuple[Tensor, int]: Labels 0..k-1 of shape (R, N, C), int64, on the device of
            the features, and k.
        """
        raise NotImplementedError


def make_clusterer(clusterer: ClustererType, n_clusterings: int, seed: int) -> Clusterer:
    """Check ``clusterer`` and wrap it as a :class:`Clusterer`."""
    seeds = range(seed, seed + n_clusterings)
    if clusterer is None:
        _check_one_clustering(n_clusterings, "clusterer=None has no seed")
        return EachChannel()
    if is_int(clusterer):
        if clusterer < 1:
            raise ValueError(f"clusterer={clusterer}: the number of clusters must be at least 1.")
        return _KMeans(int(clusterer), seeds)
    if isinstance(clusterer, Tensor) or (
        isinstance(clusterer, tuple)
        and clusterer
        and all(isinstance(labels, Tensor) for labels in clusterer)
    ):
        _check_one_clustering(n_clusterings, "a clusterer of fixed labels has no seed")
        return FixedLabels(clusterer)
    if hasattr(clusterer, "fit_predict") and not isinstance(clusterer, type):
        return _Estimator(clusterer, seeds)
    if callable(clusterer) and not isinstance(clusterer, type):
        _check_one_clustering(n_clusterings, "a callable clusterer has no seed")
        return _Function(clusterer)
    raise TypeError(
        f"clusterer={clusterer!r} is not supported: give the number of clusters (int), None for "
        "each channel alone, an object with fit_predict, a callable from features (C, P) to C "
        "labels, or a LongTensor of C fixed labels (a tuple of them for several tensors)."
    )


def _check_one_clustering(n_clusterings: int, reason: str) -> None:
    if n_clusterings > 1:
        raise ValueError(
            f"n_clusterings={n_clusterings} averages clusterings of different seeds, but {reason}: "
            "use n_clusterings=1, a number of clusters or an estimator with random_state."
        )


class _KMeans(Clusterer):
    on_device = True

    def __init__(self, n_clusters: int, seeds: Sequence[int]) -> None:
        self.n_clusters: int = n_clusters
        self.n_clusterings = len(seeds)
        self._seeds = seeds

    def __call__(self, features: Tensor, index: int, n_init: int = 1) -> tuple[Tensor, int]:
        labels = kmeans(features, self.n_clusters, self._seeds, n_init)
        return labels, min(self.n_clusters, features.shape[1])


class EachChannel(Clusterer):
    """Each channel is its own cluster."""

    on_device = True

    def __call__(self, features: Tensor, index: int, n_init: int = 1) -> tuple[Tensor, int]:
        n_channels = features.shape[1]
        labels = torch.arange(n_channels, device=features.device)
        return labels.expand(1, len(features), n_channels), n_channels


class FixedLabels(Clusterer):
    """
    The same clusters for every image.

    Attributes:

        labels (tuple[Tensor, ...]): The labels (C,) for each of the layer's tensors.
    """

    on_device = True

    def __init__(self, labels: Tensor | tuple[Tensor, ...]) -> None:
        labels = tuple(map(plain, labels if isinstance(labels, tuple) else (labels,)))
        for label in labels:
            if label.dim() != 1 or not _is_integral(label) or not len(label):
                raise ValueError(
                    "clusterer given as fixed labels must be a LongTensor of shape (C,), one "
                    f"label for each channel; got {label.dtype} of shape {tuple(label.shape)}."
                )
        # On the CPU, so that counting the clusters does not wait for a device.
        self.labels = tuple(_noise_last(label.detach().cpu(), "clusterer") for label in labels)
        self._n_clusters = [int(label.max()) + 1 for label in self.labels]
        self.n_clusters = sum(self._n_clusters)
        self.n_tensors = len(labels)

    def __call__(self, features: Tensor, index: int, n_init: int = 1) -> tuple[Tensor, int]:
        labels = self.labels[index]
        if len(labels) != features.shape[1]:
            raise ValueError(
                f"clusterer has fixed labels for {len(labels)} channels, but the layer has "
                f"{features.shape[1]}."
            )
        moved = labels.to(features.device, non_blocking=True)
        return moved.expand(1, features.shape[0], -1), self._n_clusters[index]


class _Estimator(Clusterer):
    def __init__(self, estimator: Any, seeds: Sequence[int]) -> None:
        # Each step of a pipeline has its own random_state.
        params = estimator.get_params() if hasattr(estimator, "get_params") else {}
        states = [name for name in params if name.split("__")[-1] == "random_state"]
        if not states:
            _check_one_clustering(len(seeds), f"{type(estimator).__name__} has no random_state")
        # With one clustering, a random_state that is set is kept; one that is None would draw
        # from NumPy's global generator.
        self._seeded = [name for name in states if len(seeds) > 1 or params[name] is None]
        self.n_clusterings = len(seeds)
        self._estimator = estimator
        self._seeds = seeds
        n_clusters = getattr(estimator, "n_clusters", None)
        self.n_clusters = n_clusters if isinstance(n_clusters, int) else None

    def __call__(self, features: Tensor, index: int, n_init: int = 1) -> tuple[Tensor, int]:
        # Imported here, because it takes a second and k-means does not need it.
        from sklearn.base import clone

        name = type(self._estimator).__name__
        labels = []
        for seed in self._seeds:
            for channels in features.cpu().numpy():
                # As in scikit-learn: the user's object stays unfitted.
                estimator = clone(self._estimator, safe=False)
                if self._seeded:
                    estimator.set_params(**dict.fromkeys(self._seeded, seed))
                # A copy, since it may work in place.
                found = estimator.fit_predict(channels.copy())
                labels.append(_checked(found, len(channels), name))
        return _stacked(labels, len(self._seeds), features)


class _Function(Clusterer):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self._function = function

    def __call__(self, features: Tensor, index: int, n_init: int = 1) -> tuple[Tensor, int]:
        # Copies, since it may work in place.
        labels = [
            _checked(self._function(channels.clone()), len(channels), "the callable")
            for channels in features
        ]
        return _stacked(labels, 1, features)


def _stacked(labels: list[Tensor], n_clusterings: int, features: Tensor) -> tuple[Tensor, int]:
    stacked = torch.stack(labels).view(n_clusterings, *features.shape[:2])
    return stacked.to(features.device), int(stacked.max()) + 1


def _checked(labels: Any, n_channels: int, source: str) -> Tensor:
    labels = torch.as_tensor(labels)
    if labels.shape != (n_channels,) or not _is_integral(labels):
        raise ValueError(
            f"clusterer: {source} must return {n_channels} integer labels, one for each channel; "
            f"got {labels.dtype} of shape {tuple(labels.shape)}."
        )
    return _noise_last(labels, f"clusterer: {source}")


def _is_integral(labels: Tensor) -> bool:
    return not (labels.is_floating_point() or labels.is_complex() or labels.dtype is torch.bool)


def _noise_last(labels: Tensor, source: str) -> Tensor:
    """Check and copy labels (C,); noise (-1), as HDBSCAN marks it, becomes the last cluster."""
    labels = labels.long()
    low, high = int(labels.min()), int(labels.max())
    if low < -1 or high >= len(labels):
        raise ValueError(
            f"{source} gives labels from {low} to {high}; with {len(labels)} channels they must "
            f"lie between -1 (noise) and {len(labels) - 1}."
        )
    return torch.where(labels < 0, high + 1, labels)
