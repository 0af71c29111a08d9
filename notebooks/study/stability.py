"""Sensitivity of a method's maps to small changes of the image, relative to Grad-CAM's."""

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
    """Return 1 for a map without positive values, which metrics treat as zero everywhere."""
    return (case.attributions.flatten(1).amax(1) <= 0).double()


EMPTY_MAP = Metric(_empty)


def sensitivity_ratios(comparison: Comparison) -> pd.DataFrame:
    """
    Compute the median over images of the ratio of max-sensitivities, method to reference.

    It is exp(median(log(method / reference))): a mean would depend on the few images whose map
    is nearly zero. A map of zeros has no relative change. Images where one of the two maps is
    empty are therefore left out and counted, as are images where the reference does not change.

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
        with np.errstate(divide="ignore"):  # a control that never changes has the ratio 0
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
