"""
Metrics of attributions, with Captum's conventions: one value for each example.

- Faithfulness: :func:`average_drop`, :func:`increase_in_confidence`, :func:`average_gain`,
  :func:`insertion`, :func:`deletion` and :func:`road`
- The map itself: :func:`complexity`, :func:`coherency` and, with the average drop,
  :func:`adcc`
- Against a mask of the object: :func:`pointing_game`, :func:`energy_pointing_game`,
  :func:`iou` and :func:`energy_shares`

Some map that explains nothing wins each of them, and its documentation says which: use
several, and compare with controls. Captum has ``infidelity`` and ``sensitivity_max``.

All metrics ReLU the attribution, interpolate it to the input or mask and min-max normalize
it for each example. None changes the model or its mode, uses torch's global random state
or tracks gradients.
"""

# The order of tables.
# isort: off
from captum_clustered.metrics.faithfulness import *  # noqa: F403
from captum_clustered.metrics.insertion_deletion import *  # noqa: F403
from captum_clustered.metrics.adcc import *  # noqa: F403
from captum_clustered.metrics.road import *  # noqa: F403
from captum_clustered.metrics.localization import *  # noqa: F403
# isort: on

# Every public name of these modules, so a new metric is declared in its module alone.
__all__ = sorted(
    name
    for name, value in list(globals().items())
    if getattr(value, "__module__", "").startswith(f"{__name__}.")
)
