"""Verdict for each metric: a method is better than Grad-CAM, not worse, or worse."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import NDArray

from captum_clustered.comparison import Comparison
from captum_clustered.comparison.statistics import bootstrap_interval

Floats = NDArray[np.float64]
# Non-inferiority margin: five percentage points.
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
    Return the verdict for the 95% interval of an improvement.

    Args:

        low, high (float): The ends of the interval; values above zero are better.
        margin (float): The non-inferiority margin, positive.

    Returns:
        str: "better" if the whole interval is above zero; else "not worse" if it is above
                    -margin; else "worse" if it is below zero; else "undecided", also for
                    NaN.
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
    Compute the 95% bootstrap interval of a mean over images; it resamples patients.

    Args:

        values (numpy.ndarray): One value for each image.
        patients (sequence of str): Patient of each image.
        seed (int, optional): Seed of the bootstrap.
                    Default: 0

    Returns:
        tuple[float, float]: The BCa interval, or the percentile interval if BCa is undefined.
                    Both ends are the mean if all values are equal, and NaN for fewer than
                    two patients.
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
    Compute differences to the reference and their verdicts.

    Args:

        comparison (Comparison): Metrics that it does not have are skipped.
        patients (sequence of str): Patient of each image.

    Returns:
        pandas.DataFrame: With the columns metric, method, difference (method minus
                    reference), low, high (95% interval of the difference over patients),
                    pairs and verdict.
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
    """Return the values of a metric, with a row for each image and a column for each method."""
    rows = comparison.frame[comparison.frame["metric"] == metric]
    table = rows.pivot_table(index="image", columns="method", values="value", observed=True)
    return table.reindex(columns=comparison.methods)
