"""From the argument ``clusterer`` to labels of channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Union

import numpy as np
import torch
from torch import Tensor

from captum_clustered._clustering.kmeans import kmeans


class SupportsFitPredict(Protocol):
    """scikit-learn's clustering contract."""

    def fit_predict(self, X: Any, y: Any = None) -> Any: ...  # noqa: N803


ClustererType = Union[
    int,
    SupportsFitPredict,
    Callable[[Tensor], Any],
    Tensor,
    tuple[Tensor, ...],
]


class Clusterer(Protocol):
    """Clusters the channels of each example R times."""

    n_clusterings: int
    """Number of clusterings R of each example."""
    n_clusters: int | None
    """Number of clusters, if it is known before the data is seen."""
    n_tensors: int | None
    """Number of tensors that the layer must have; None means any."""
    on_device: bool
    """Whether labels are computed on the data's device, without waiting for it."""

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
        ...


def make_clusterer(clusterer: ClustererType, n_clusterings: int, seed: int) -> Clusterer:
    """Check ``clusterer`` and wrap it as a :class:`Clusterer`."""
    seeds = range(seed, seed + n_clusterings)
    if isinstance(clusterer, (int, np.integer)) and not isinstance(clusterer, bool):
        if clusterer < 1:
            raise ValueError(f"clusterer={clusterer}: the number of clusters must be at least 1.")
        return _KMeans(int(clusterer), seeds)
    if isinstance(clusterer, Tensor) or (
        isinstance(clusterer, tuple)
        and clusterer
        and all(isinstance(labels, Tensor) for labels in clusterer)
    ):
        _refuse_n_clusterings(n_clusterings, "fixed labels")
        return FixedLabels(clusterer)
    if hasattr(clusterer, "fit_predict") and not isinstance(clusterer, type):
        return _Estimator(clusterer, seeds)
    if callable(clusterer) and not isinstance(clusterer, type):
        _refuse_n_clusterings(n_clusterings, "a callable")
        return _Function(clusterer)
    raise TypeError(
        f"clusterer={clusterer!r} is not understood: give the number of clusters (int), an "
        "object with fit_predict, a callable from features (C, P) to C labels, or a LongTensor of "
        "C fixed labels (a tuple of them for a layer of several tensors)."
    )


def _refuse_n_clusterings(n_clusterings: int, kind: str) -> None:
    if n_clusterings > 1:
        raise ValueError(
            f"n_clusterings={n_clusterings} averages clusterings of different seeds, and {kind} as "
            "clusterer has no seed: use n_clusterings=1, an int or an estimator with random_state."
        )


class _KMeans:
    on_device = True
    n_tensors: int | None = None

    def __init__(self, n_clusters: int, seeds: Sequence[int]) -> None:
        self.n_clusters: int | None = n_clusters
        self.n_clusterings = len(seeds)
        self._n_clusters = n_clusters
        self._seeds = seeds

    def __call__(self, features: Tensor, index: int, n_init: int = 1) -> tuple[Tensor, int]:
        labels = kmeans(features, self._n_clusters, self._seeds, n_init)
        return labels, min(self._n_clusters, features.shape[1])


class FixedLabels:
    """The same clusters for every image, given by their labels."""

    on_device = True
    n_clusterings = 1

    def __init__(self, labels: Tensor | tuple[Tensor, ...]) -> None:
        self._labels = []
        for label in labels if isinstance(labels, tuple) else (labels,):
            if label.dim() != 1 or _is_no_integer(label) or not len(label):
                raise ValueError(
                    "clusterer given as fixed labels must be a LongTensor of shape (C,), one "
                    f"label for each channel; got {label.dtype} of shape {tuple(label.shape)}."
                )
            # A private copy on the CPU, so that counting clusters waits for no device.
            label = label.detach().cpu().long().clone()
            _check_range(label, len(label), "clusterer")
            self._labels.append(label)
        self.n_clusters: int | None = sum(_n_labels(label) for label in self._labels)
        self.n_tensors: int | None = len(self._labels)

    @property
    def labels(self) -> tuple[Tensor, ...]:
        """Copies of each tensor's labels."""
        return tuple(label.clone() for label in self._labels)

    def __call__(self, features: Tensor, index: int, n_init: int = 1) -> tuple[Tensor, int]:
        labels = self._labels[index]
        if len(labels) != features.shape[1]:
            raise ValueError(
                f"clusterer has fixed labels for {len(labels)} channels, but the layer has "
                f"{features.shape[1]}."
            )
        moved = _noise_last(labels).to(features.device, non_blocking=True)
        return moved.expand(1, features.shape[0], -1), _n_labels(labels)


class _Estimator:
    on_device = False
    n_tensors: int | None = None

    def __init__(self, estimator: Any, seeds: Sequence[int]) -> None:
        # Each step of a pipeline has its own random_state.
        params = estimator.get_params() if hasattr(estimator, "get_params") else {}
        states = [name for name in params if name.split("__")[-1] == "random_state"]
        if len(seeds) > 1 and not states:
            raise ValueError(
                f"n_clusterings={len(seeds)} averages clusterings of different seeds, and "
                f"{type(estimator).__name__} has no random_state: use n_clusterings=1."
            )
        # With one run, a random_state that is set is kept; one that is None would draw from
        # NumPy's global generator.
        self._seeded = [name for name in states if len(seeds) > 1 or params[name] is None]
        self.n_clusterings = len(seeds)
        self._estimator = estimator
        self._seeds = seeds
        n_clusters = getattr(estimator, "n_clusters", None)
        self.n_clusters: int | None = n_clusters if isinstance(n_clusters, int) else None

    def __call__(self, features: Tensor, index: int, n_init: int = 1) -> tuple[Tensor, int]:
        # Late, because importing scikit-learn takes a second and k-means does not need it.
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


class _Function:
    on_device = False
    n_clusterings = 1
    n_tensors: int | None = None
    n_clusters: int | None = None

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self._function = function

    def __call__(self, features: Tensor, index: int, n_init: int = 1) -> tuple[Tensor, int]:
        # Copies, since it may work in place.
        labels = [
            _checked(self._function(channels.clone()), len(channels), "the callable")
            for channels in features
        ]
        return _stacked(labels, 1, features)


def _stacked(labels: list[Tensor], n_runs: int, features: Tensor) -> tuple[Tensor, int]:
    stacked = torch.stack(labels).view(n_runs, *features.shape[:2])
    return stacked.to(features.device), int(stacked.max()) + 1


def _checked(labels: Any, n_channels: int, who: str) -> Tensor:
    labels = torch.as_tensor(labels)
    if labels.shape != (n_channels,) or _is_no_integer(labels):
        raise ValueError(
            f"clusterer: {who} must return {n_channels} integer labels, one for each channel; got "
            f"{labels.dtype} of shape {tuple(labels.shape)}."
        )
    labels = labels.long()
    _check_range(labels, n_channels, f"clusterer: {who}")
    return _noise_last(labels)


def _is_no_integer(labels: Tensor) -> bool:
    return labels.is_floating_point() or labels.is_complex() or labels.dtype is torch.bool


def _check_range(labels: Tensor, n_channels: int, who: str) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < -1 or high >= n_channels:
        raise ValueError(
            f"{who} gives labels from {low} to {high}; with {n_channels} channels they must lie "
            f"between -1 (noise) and {n_channels - 1}."
        )


def _n_labels(labels: Tensor) -> int:
    return int(_noise_last(labels).max()) + 1


def _noise_last(labels: Tensor) -> Tensor:
    """Make noise (-1), as HDBSCAN marks it, one more cluster, the last."""
    return torch.where(labels < 0, labels.max() + 1, labels)
