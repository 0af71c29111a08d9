"""Whether a method is better than Grad-CAM, not worse, or worse, metric by metric."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import NDArray

from captum_clustered.comparison import Comparison
from captum_clustered.comparison.statistics import bootstrap_interval

Floats = NDArray[np.float64]
# By how much a method may be worse and still count as not worse: five percentage points.
POINTS, SHARE = 5.0, 0.05
MARGINS = {
    "average drop 50%": POINTS,
    "energy lesion": SHARE,
    "average drop": POINTS,
    "average drop (blur)": POINTS,
    "increase in confidence": POINTS,
    "insertion - deletion": SHARE,
    "pointing game": SHARE,
}


def verdict(low: float, high: float, margin: float) -> str:
    """
    What the 95% interval of an improvement says.

    Args:

        low, high (float): Its ends; above zero is better.
        margin (float): What counts as not worse, positive.

    Returns:
        str: "better" if the whole interval is above zero; else "not worse" if it is above
                    -margin; else "worse" if it is below zero, and "undecided" if it is not,
                    or not known.
    """
    if low > 0:
        return "better"
    if low > -margin:
        return "not worse"
    return "worse" if high < 0 else "undecided"


def interval_by_patient(
    values: Floats, patients: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """
    The bootstrap's 95% interval of a mean over images, of which patients are drawn.

    Args:

        values (numpy.ndarray): One for each image.
        patients (sequence of str): Patient of each image.
        seed (int, optional): Of the resamples.
                    Default: 0

    Returns:
        tuple[float, float]: BCa's interval, or that of percentiles where BCa has none; both
                    the mean if all values are equal, NaN with fewer than two patients.
    """
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < 2:
        return math.nan, math.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    sums = np.bincount(owner, weights=values)
    counts = np.bincount(owner)

    def mean(drawn: NDArray[np.int64], axis: int = -1) -> Floats:
        ratio: Floats = sums[drawn].sum(axis) / counts[drawn].sum(axis)
        return ratio

    return bootstrap_interval(np.arange(len(names)), mean, seed)


def verdicts(comparison: Comparison, patients: Sequence[str]) -> pd.DataFrame:
    """
    Differences to the reference and what they say.

    Args:

        comparison (Comparison): Its metrics may lack some of those that count.
        patients (sequence of str): Patient of each image.

    Returns:
        pandas.DataFrame: With the columns metric, method, difference (method minus
                    reference), low, high (of the difference, 95%, patients drawn), pairs and
                    verdict.
    """
    rows = []
    for metric, margin in MARGINS.items():
        if metric not in comparison.directions:
            continue
        table = values_of(comparison, metric)
        sign = -1 if comparison.directions[metric] == "lower" else 1
        for method in comparison.methods:
            if method == comparison.reference:
                continue
            difference = (table[method] - table[comparison.reference]).dropna()
            values = difference.to_numpy(np.float64)
            low, high = math.nan, math.nan
            if len(values):
                low, high = interval_by_patient(values, [patients[i] for i in difference.index])
            ends = (low, high) if sign > 0 else (-high, -low)
            rows.append(
                {
                    "metric": metric,
                    "method": method,
                    "difference": float(values.mean()) if len(values) else math.nan,
                    "low": low,
                    "high": high,
                    "pairs": len(values),
                    "verdict": verdict(*ends, margin),
                }
            )
    return pd.DataFrame(rows)


def values_of(comparison: Comparison, metric: str) -> pd.DataFrame:
    """A metric's values, a row for each image and a column for each method."""
    rows = comparison.frame[comparison.frame["metric"] == metric]
    table = rows.pivot_table(index="image", columns="method", values="value", observed=True)
    return table.reindex(columns=comparison.methods)
