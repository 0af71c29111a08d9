"""The groups of channels behind an attribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from torch import Tensor

TensorOrTensors = Union[Tensor, tuple[Tensor, ...]]


@dataclass(frozen=True)
class Clusters:
    r"""
    How each example's channels were grouped and what each group is worth.

    N is the number of examples, C of channels, k of groups. Groups that are empty in an
    example have size, importance and map 0. With ``consensus`` above 1 this describes
    the run of ``seed`` alone, not the average. For a layer of several tensors all
    attributes but the scores are tuples with an entry for each tensor.

    Attributes:

        labels (Tensor): Group of each channel, shape (N, C), int64, 0..k-1.
        importances (Tensor): Importance of each group in units of the score: its drop
                    with ``importance="ablation"``, its Shapley value with
                    ``"shapley"``. Shape (N, k).
        maps (Tensor): Share of each group in the attribution before any ReLU, shape
                    (N, k, \*spatial). With ``consensus=1`` their sum over the groups is
                    the attribution.
        sizes (Tensor): Number of channels in each group, shape (N, k), int64.
        score (Tensor): Score f(A) of each example, shape (N,).
        baseline_score (Tensor): Score f(B) with the whole layer ablated, shape (N,).

    Examples::

        >>> attribution, clusters = cam.attribute(x, target=1, return_clusters=True)
        >>> best = clusters.importances[0].argmax()
        >>> clusters.maps[0, best]  # where the most important group fires
    """

    labels: TensorOrTensors
    importances: TensorOrTensors
    maps: TensorOrTensors
    sizes: TensorOrTensors
    score: Tensor
    baseline_score: Tensor
