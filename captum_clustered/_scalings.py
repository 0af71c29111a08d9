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

    The attribution of a channel is its weight times its map. With A the layer's tensor and B
    the baseline, the map is made of the difference D = A - B.

    Attributes:

        name (str): Its key in ``SCALINGS``, as arguments and options take it.
        unit (str): What an attribution's values are, as captions say it.
        is_additive (bool): Whether an attribution sums to the importances. Then it is in units
                    of the score, and it has a convergence delta.
        channel_maps (Callable): Takes D of any shape; returns the channels' maps.
        channel_weights (Callable): Takes maps (N, C, *spatial), labels (N, C) and importances
                    (N, K); returns weights (N, C).
    """

    name: str
    unit: str
    is_additive: bool
    channel_maps: Callable[[Tensor], Tensor]
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
    # Without mass nothing was ablated, so there is no importance to spread.
    density = torch.where(mass > 0, importances / mass, 0)
    return _drop_weights(maps, labels, density)


def _drop_weights(maps: Tensor, labels: Tensor, importances: Tensor) -> Tensor:
    return importances.to(maps.dtype).gather(1, labels)


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
