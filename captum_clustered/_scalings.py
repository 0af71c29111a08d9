"""How the importances of clusters become weights of channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_clustered._clustering.cluster_sums import cluster_sums
from captum_clustered._clustering.features import flatten_positions


@dataclass(frozen=True)
class Scaling:
    """
    A choice of ``scaling``: how the importances of clusters become weights of channels.

    The attribution of a channel is its weight times its map. The map is computed from the
    difference D = A - B of the layer's tensor and the baseline. An additive attribution sums to
    the sum of the importances, so it is in units of the score and has a convergence delta.
    """

    name: str  # its key in SCALINGS and its value as an argument or option
    unit: str  # of an attribution in captions
    is_additive: bool
    channel_maps: Callable[[Tensor], Tensor]  # of D, of any shape
    # Weights (N, C) of maps (N, C, *spatial), labels (N, C) and importances (N, K).
    channel_weights: Callable[[Tensor, Tensor, Tensor], Tensor]

    def check_additive(self) -> None:
        """Raise ValueError unless an attribution has a convergence delta."""
        if not self.is_additive:
            additive = " or ".join(repr(name) for name, s in SCALINGS.items() if s.is_additive)
            raise ValueError(
                f"return_convergence_delta=True needs scaling={additive}: with scaling="
                f"{self.name!r} the attribution is not in units of the score."
            )


def _density_weights(maps: Tensor, labels: Tensor, importances: Tensor) -> Tensor:
    mass = cluster_sums(flatten_positions(maps).sum(2), labels, importances.shape[1])
    # A cluster without mass equals its baseline, so its importance is 0, too.
    density = torch.where(mass > 0, importances / mass, 0)
    return _cluster_values(maps, labels, density)


def _drop_weights(maps: Tensor, labels: Tensor, importances: Tensor) -> Tensor:
    activity = flatten_positions(maps).abs().mean(2)
    total = cluster_sums(activity, labels, importances.shape[1])
    # A cluster without activity equals its baseline, so its importance is 0, too.
    rate = torch.where(total > 0, importances / total, 0)
    # Of the cluster's importance, each channel gets the share that its activity has in it.
    return _cluster_values(maps, labels, rate) * activity


def _cluster_values(maps: Tensor, labels: Tensor, values: Tensor) -> Tensor:
    """Return the value of each channel's cluster: (N, C) from values (N, K)."""
    return values.to(maps.dtype).gather(1, labels)


SCALINGS: dict[str, Scaling] = {
    scaling.name: scaling
    for scaling in (
        Scaling(
            "density",
            unit="share of the score",
            is_additive=True,
            channel_maps=torch.abs,
            channel_weights=_density_weights,
        ),
        Scaling(
            "drop",
            unit="importance x activation",
            is_additive=False,
            channel_maps=lambda difference: difference,
            channel_weights=_drop_weights,
        ),
    )
}
