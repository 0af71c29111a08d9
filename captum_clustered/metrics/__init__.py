"""
Metrics of attributions, with Captum's conventions: one value for each example.

Of faithfulness: :func:`average_drop`, :func:`increase_in_confidence`,
:func:`average_gain`, :func:`insertion`, :func:`deletion` and :func:`road`; of the map
itself: :func:`complexity`, :func:`coherency` and, with the drop, :func:`adcc`; against a
mask: :func:`pointing_game`, :func:`energy_pointing_game`, :func:`iou` and
:func:`energy_shares`. Each of them is won by some map that explains nothing, and says by
which: use several, and compare with controls. ``infidelity`` and ``sensitivity_max`` are
Captum's own.

All take the attribution ReLU'd, interpolated to the input or mask and min-max normalized
for each example. None changes the model or its mode, uses torch's global random state or
tracks gradients.
"""

from captum_clustered.metrics.adcc import adcc, coherency, complexity
from captum_clustered.metrics.faithfulness import average_drop, average_gain, increase_in_confidence
from captum_clustered.metrics.insertion_deletion import (
    deletion,
    deletion_curve,
    insertion,
    insertion_curve,
    insertion_minus_deletion,
)
from captum_clustered.metrics.localization import (
    EnergyShares,
    energy_pointing_game,
    energy_shares,
    iou,
    pointing_game,
)
from captum_clustered.metrics.road import road

__all__ = [
    "EnergyShares",
    "adcc",
    "average_drop",
    "average_gain",
    "coherency",
    "complexity",
    "deletion",
    "deletion_curve",
    "energy_pointing_game",
    "energy_shares",
    "increase_in_confidence",
    "insertion",
    "insertion_curve",
    "insertion_minus_deletion",
    "iou",
    "pointing_game",
    "road",
]
