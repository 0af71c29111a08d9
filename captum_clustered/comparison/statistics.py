"""Bootstrap intervals of means, and tests for differences between methods."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

Floats = NDArray[np.float64]

LEVEL = 0.95
# A difference is significant if its Holm-corrected p-value is below.
SIGNIFICANCE = 0.05
N_BOOTSTRAP = 2000
# For more images the jackknife of BCa, quadratic in their number, is too slow.
MOST_FOR_BCA = 2000
N_FLIPS = 9999
# For up to this number of differences, all sign patterns are evaluated.
MOST_FOR_EXACT = 13
NAN = float("nan")
SUMMARY_COLUMNS = [
    *("method", "mean", "low", "high", "n", "missing"),
    *("difference", "difference_low", "difference_high", "pairs", "p", "p_holm"),
]


def interval(values: Floats, seed: int = 0) -> tuple[float, float]:
    """
    Return the 95% bootstrap interval of the mean: BCa, or percentiles where BCa fails.

    Both ends are the mean if all values are equal, and NaN for fewer than two values.
    """
    if len(values) < 2:
        return NAN, NAN
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    return bootstrap_interval(values, np.mean, seed)


def bootstrap_interval(
    units: NDArray[Any], statistic: Callable[..., Any], seed: int
) -> tuple[float, float]:
    """
    Return the 95% bootstrap interval of a statistic of (resampled units, axis).

    There must be at least two units. Percentiles are used where BCa fails.
    """
    for method in ("BCa", "percentile"):
        if method == "BCa" and len(units) > MOST_FOR_BCA:
            continue
        with warnings.catch_warnings():
            # BCa warns where it fails; the NaN shows below.
            warnings.simplefilter("ignore")
            found = stats.bootstrap(
                (units,),
                statistic,
                confidence_level=LEVEL,
                n_resamples=N_BOOTSTRAP,
                batch=max(1, 2_000_000 // len(units)),
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            return float(found.low), float(found.high)
    return NAN, NAN


def sign_flip_test(differences: Floats, seed: int = 0) -> float:
    """
    Return the two-sided p-value of a mean difference of 0, by flipping signs.

    It is exact for up to 13 differences. For more it uses 9999 random sign patterns and the
    observed one, so it is never 0. Differences that are not finite are left out; without any
    it is NaN. ``scipy.stats.permutation_test`` gives the same exact values, but takes ten
    times as long for hundreds of images.
    """
    differences = differences[np.isfinite(differences)]
    n = len(differences)
    if n == 0:
        return NAN
    observed = abs(differences.sum())
    # Sums that are equal may differ by rounding.
    slack = 1e-12 * np.abs(differences).sum()
    if n <= MOST_FOR_EXACT:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
        return float(np.mean(np.abs(signs @ differences) >= observed - slack))
    generator = np.random.default_rng(seed)
    extreme, left = 0, N_FLIPS
    while left:
        size = min(left, max(1, 4_000_000 // n))
        signs = generator.integers(0, 2, (size, n), dtype=np.int8).astype(np.float64) * 2 - 1
        extreme += int((np.abs(signs @ differences) >= observed - slack).sum())
        left -= size
    return (extreme + 1) / (N_FLIPS + 1)


def holm(p_values: list[float]) -> list[float]:
    """Apply Holm's correction for several tests; NaN stays NaN and does not count as a test."""
    ordered = pd.Series(p_values, dtype=np.float64).dropna().sort_values()
    corrected = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    found: list[float] = corrected.reindex(range(len(p_values))).tolist()
    return found


def summarize(table: pd.DataFrame, reference: str | None, seed: int) -> list[dict[str, Any]]:
    """
    Return the rows of :meth:`Comparison.summary` for one metric and group of images.

    The table has a row for each image and a column for each method. NaN and infinite values
    are missing.
    """
    rows = []
    for method in table.columns:
        values = table[method].to_numpy(np.float64)
        valid, differences = values[np.isfinite(values)], np.empty(0)
        if reference in table.columns and method != reference:
            others = table[reference].to_numpy(np.float64)
            both = np.isfinite(values) & np.isfinite(others)
            differences = values[both] - others[both]
        of_values = (*_mean_and_interval(valid, seed), len(valid), len(values) - len(valid))
        of_differences = (*_mean_and_interval(differences, seed), len(differences))
        found = (method, *of_values, *of_differences, sign_flip_test(differences, seed), NAN)
        rows.append(dict(zip(SUMMARY_COLUMNS, found, strict=True)))
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return rows


def _mean_and_interval(values: Floats, seed: int) -> tuple[float, float, float]:
    return (float(values.mean()) if len(values) else NAN, *interval(values, seed))
