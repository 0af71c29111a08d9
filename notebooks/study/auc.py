"""AUC of a network for malignant against benign, with an interval that resamples patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader

Floats = NDArray[np.float64]
N_RESAMPLES = 1000


@dataclass(frozen=True)
class AUC:
    """
    Area under the ROC curve with its 95% interval.

    Attributes:

        value, low, high (float): The area and the ends of the interval.
        n (int): Number of images or patients.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.n})"


def by_image(
    labels: Sequence[int], scores: Sequence[float], patients: Sequence[str], seed: int = 0
) -> AUC:
    """
    Compute the AUC over images.

    Images of a patient are similar, so the bootstrap resamples patients with all their images,
    separately for each class. An interval that resamples images would be too narrow.

    Args:

        labels (sequence of int): 1 is malignant.
        scores (sequence of float): Higher is more malignant.
        patients (sequence of str): Patient of each image.
        seed (int, optional): Seed of the bootstrap.
                    Default: 0

    Returns:
        AUC: ``n`` is the number of images.

    Raises:

        ValueError: If one of the classes has no image.
    """
    y, s = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    _check_classes(y)
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    malignant = np.zeros(len(names), bool)
    np.logical_or.at(malignant, owner, y == 1)

    def area(*drawn: NDArray[np.int64]) -> float:
        counts = np.bincount(np.concatenate(drawn), minlength=len(names))
        return float(roc_auc_score(y, s, sample_weight=counts[owner]))

    value = float(roc_auc_score(y, s))
    classes = [np.flatnonzero(~malignant), np.flatnonzero(malignant)]
    if min(map(len, classes)) < 2:
        return AUC(value, float("nan"), float("nan"), len(y))
    interval = stats.bootstrap(
        classes,
        area,
        n_resamples=N_RESAMPLES,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return AUC(value, float(interval.low), float(interval.high), len(y))


def by_patient(
    labels: Sequence[int], scores: Sequence[float], patients: Sequence[str], seed: int = 0
) -> AUC:
    """
    Compute the AUC over patients; the score of a patient is the mean over its images.

    The mean, not the maximum: the images of a patient show the same lesion, and a maximum grows
    with the number of images. A patient is malignant if one of its images is.

    Args:

        labels, scores, patients, seed: As in :func:`by_image`.

    Returns:
        AUC: ``n`` is the number of patients.

    Raises:

        ValueError: If one of the classes has no patient.
    """
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    n = np.bincount(owner)
    means = np.bincount(owner, weights=np.asarray(scores, dtype=np.float64)) / n
    malignant = np.zeros(len(names), np.int64)
    np.maximum.at(malignant, owner, np.asarray(labels))
    return by_image(malignant.tolist(), means.tolist(), names.tolist(), seed)


def probabilities(network: nn.Module, loader: DataLoader[Any]) -> list[float]:
    """Return the probability of malignant for each image, in evaluation mode."""
    network.eval()
    place = next(network.parameters()).device
    found: list[float] = []
    with torch.no_grad():
        for images, *_ in loader:
            found += network(images.to(place)).double().softmax(1)[:, 1].tolist()
    return found


def _check_classes(labels: NDArray[Any]) -> None:
    if set(labels.tolist()) != {0, 1}:
        raise ValueError(
            f"An AUC needs images of both classes, 0 and 1; got {sorted(set(labels.tolist()))}. "
            "If the number of images is limited, use more images."
        )
