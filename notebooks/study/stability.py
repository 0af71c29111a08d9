"""How much more a method's map moves than Grad-CAM's when the image hardly does."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from torch import Tensor

from captum_clustered.comparison import Case, Comparison, Metric
from study.verdicts import values_of

SENSITIVITY = "max-sensitivity"
EMPTY = "empty map"


def _empty(case: Case) -> Tensor:
    """1 for a map without any positive value, which is one of zeros as metrics see it."""
    return (case.attributions.flatten(1).amax(1) <= 0).double()


EMPTY_MAP = Metric(_empty)


def sensitivity_ratios(comparison: Comparison) -> pd.DataFrame:
    """
    The median ratio of max-sensitivities, method to reference, image by image.

    It is exp(median(log(method / reference))): a mean would hang on the few images whose map
    nearly vanishes. A map of zeros has no relative movement, so images where one of the two
    maps is empty are left out and counted, as are those where the reference does not move.

    Args:

        comparison (Comparison): With the metrics "max-sensitivity" and "empty map".

    Returns:
        pandas.DataFrame: With the columns method, ratio, pairs, empty (its own maps) and
                    left_out; empty itself without these metrics.
    """
    if not {SENSITIVITY, EMPTY} <= set(comparison.directions):
        return pd.DataFrame()
    sensitivity, empty = values_of(comparison, SENSITIVITY), values_of(comparison, EMPTY)
    reference = sensitivity[comparison.reference]
    rows = []
    for method in comparison.methods:
        usable = (empty[method] == 0) & (empty[comparison.reference] == 0) & (reference > 0)
        usable &= sensitivity[method].notna()
        with np.errstate(divide="ignore"):  # a control that never moves: its ratio is 0
            logs = np.log(sensitivity[method][usable]) - np.log(reference[usable])
        rows.append(
            {
                "method": method,
                "ratio": float(np.exp(logs.median())) if len(logs) else math.nan,
                "pairs": int(usable.sum()),
                "empty": int((empty[method] == 1).sum()),
                "left_out": int((~usable).sum()),
            }
        )
    return pd.DataFrame(rows)
