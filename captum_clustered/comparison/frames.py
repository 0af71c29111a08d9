"""Results of batches as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from captum_clustered.comparison.store import BatchResult

# Columns of the frame that depend on the machine.
COST_COLUMNS = ["seconds", "forward_examples", "peak_memory"]
_COLUMNS = ["image", "label", "prediction", "target", "method", "metric", "value", *COST_COLUMNS]
_TYPES = {
    **dict.fromkeys(["image", "prediction", "target"], "int64"),
    "label": "Int64",
    **dict.fromkeys(["value", *COST_COLUMNS], "float64"),
}


def frame_of(results: list[BatchResult], methods: list[str], metrics: list[str]) -> pd.DataFrame:
    """Return a row for each image, method and metric, see :class:`Comparison`."""
    rows = [row for result in results for row in _rows(result, methods, metrics)]
    frame = pd.DataFrame.from_records(rows, columns=_COLUMNS).astype(_TYPES)
    correct = frame["label"].eq(frame["prediction"])
    frame.insert(3, "correct", correct.astype("boolean"))
    for column, names in (("method", methods), ("metric", metrics)):
        frame[column] = pd.Categorical(frame[column], categories=names)
    return frame


def _rows(result: BatchResult, methods: list[str], metrics: list[str]) -> Iterator[tuple[Any, ...]]:
    costs = {
        method: [cost["seconds"] / n, cost["forward_examples"] / n, cost["peak_memory"]]
        for method, cost in result.costs.items()
        for n in [cost["images"]]
    }
    for i, image in enumerate(result.images):
        facts = [image[name] for name in _COLUMNS[:4]]
        for method in methods:
            values = result.values.get(method, {})
            for metric in metrics:
                value = values[metric][i] if metric in values else None
                if value is not None:
                    yield (*facts, method, metric, value, *costs[method])


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
