"""Results of batches as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from captum_clustered.comparison.store import BatchResult

NAN = float("nan")
# Columns of the frame that depend on the machine.
COST_COLUMNS = ["seconds", "forward_examples", "peak_memory"]
_IMAGE_COLUMNS = ["image", "label", "prediction", "target"]


def frame_of(results: list[BatchResult], methods: list[str], metrics: list[str]) -> pd.DataFrame:
    """Return a row for each image, method and metric, see :class:`Comparison`."""
    blocks = [_block(result, methods, metrics) for result in results if result.images]
    columns = {
        name: np.concatenate([block[name] for block in blocks]) if blocks else np.empty(0)
        for name in (*_IMAGE_COLUMNS, "method", "metric", "value", *COST_COLUMNS)
    }
    label = pd.array(columns["label"], dtype="Float64")
    label[np.isnan(columns["label"])] = pd.NA
    label = label.astype("Int64")
    prediction = pd.Series(columns["prediction"].astype(np.int64))
    return pd.DataFrame(
        {
            "image": columns["image"].astype(np.int64),
            "label": label,
            "prediction": prediction,
            "correct": pd.Series(label).eq(prediction).astype("boolean"),
            "target": columns["target"].astype(np.int64),
            "method": pd.Categorical.from_codes(columns["method"].astype(np.int64), methods),
            "metric": pd.Categorical.from_codes(columns["metric"].astype(np.int64), metrics),
            "value": columns["value"],
            **{name: columns[name] for name in COST_COLUMNS},
        }
    )


def _block(result: BatchResult, methods: list[str], metrics: list[str]) -> dict[str, Any]:
    """Return the columns of one batch as numbers, without missing values."""
    n, shape = len(result.images), (len(result.images), len(methods), len(metrics))
    values, there = np.full(shape, NAN), np.zeros(shape, bool)
    costs = {name: np.full(len(methods), NAN) for name in COST_COLUMNS}
    for m, method in enumerate(methods):
        cost = result.costs.get(method)
        if cost is not None:
            for name in COST_COLUMNS:
                share = 1 if name == "peak_memory" else cost["images"]
                costs[name][m] = cost[name] / share
        for k, metric in enumerate(metrics):
            for i, value in enumerate(result.values.get(method, {}).get(metric, [None] * n)):
                if value is not None:
                    values[i, m, k], there[i, m, k] = value, True
    image, method_code, metric_code = np.nonzero(there)
    per_image = {
        name: np.array(
            [NAN if found[name] is None else found[name] for found in result.images], np.float64
        )[image]
        for name in _IMAGE_COLUMNS
    }
    return {
        **per_image,
        "method": method_code,
        "metric": metric_code,
        "value": values[there],
        **{name: cost[method_code] for name, cost in costs.items()},
    }


def table_of(frame: pd.DataFrame, metric: str, methods: list[str]) -> pd.DataFrame:
    """Return the values of one metric, a row for each image and a column for each method."""
    rows = frame[frame["metric"] == metric]
    table = rows.pivot_table(
        index="image", columns="method", values="value", observed=True, dropna=False
    )
    # Images without this metric count as missing values.
    return table.reindex(index=np.sort(frame["image"].unique()), columns=methods)


def metric_seconds_of(
    results: list[BatchResult], methods: list[str], metrics: list[str]
) -> pd.DataFrame:
    """Return the seconds of each metric, a row for each method."""
    sums = pd.DataFrame(0.0, index=pd.Index(methods, name="method"), columns=metrics)
    for result in results:
        for method, seconds in result.metric_seconds.items():
            for metric, value in seconds.items():
                sums.loc[method, metric] += value
    return sums


def mean_curves_of(results: list[BatchResult], method: str) -> dict[str, list[float]]:
    """Return each curve of a method, its mean over the images."""
    found: dict[str, tuple[int, Any]] = {}
    for result in results:
        for name, curve in result.curves.get(method, {}).items():
            n, total = found.get(name, (0, 0.0))
            found[name] = (n + curve["n"], total + np.asarray(curve["sum"]))
    return {name: (total / n).tolist() for name, (n, total) in found.items()}
