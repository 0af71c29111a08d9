"""What a comparison came to."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from captum_clustered.comparison.statistics import summarize
from captum_clustered.comparison.store import BatchResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAN = float("nan")
# Columns of the frame that depend on the machine and its load.
COST_COLUMNS = ["seconds", "rows", "peak_memory"]
_IMAGE_COLUMNS = ["image", "label", "prediction", "target"]
_FAILURE_COLUMNS = ["image", "method", "metric", "error", "message"]
_ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
_METRICS_PER_TABLE = 4


@dataclass
class Comparison:
    r"""
    Results of :func:`compare`.

    Attributes:

        frame (pandas.DataFrame): A row for each image, method and metric, with the columns
                    image (its place in the data), label, prediction, correct, target,
                    method, metric and value; and of the method's map of this image,
                    whichever the metric, seconds, rows (examples that went through
                    forward_func; what is evaluated behind the layer alone does not count,
                    and 0 for a method of the user's that does not go through
                    forward_func) and peak_memory (bytes on the GPU on top of those in use
                    before; NaN on the CPU). Costs are shared equally by the images of a
                    batch.
        failures (pandas.DataFrame): A row for each image, method and metric that raised,
                    with the columns image, method, metric, error and message. Without
                    metric the map is missing, without method the whole image is, without
                    image the rest of the data.
        directions (dict): Metric -> "higher" or "lower" (is better) or None.
        methods (list): Methods in the order of the tables, controls last.
        controls (list): Those methods that explain nothing.
        reference (str or None): The method that others are compared with.
        metric_seconds (pandas.DataFrame): Seconds of each metric, a row for each method.
        curves (dict): Method -> curve ("insertion blur", "deletion 0.0" or "deletion
                    blur") -> its mean over the images.
        gallery (list): Pictures of the first images and their maps.
        seed (int): Seed of resamples.
        names (list or None): What figures call the images, if not by their numbers.
    """

    frame: pd.DataFrame
    failures: pd.DataFrame
    directions: dict[str, str | None]
    methods: list[str]
    controls: list[str]
    reference: str | None
    metric_seconds: pd.DataFrame = field(repr=False)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict, repr=False)
    gallery: list[dict[str, Any]] = field(default_factory=list, repr=False)
    seed: int = 0
    names: list[str] | None = field(default=None, repr=False)

    @classmethod
    def from_batches(
        cls,
        results: list[BatchResult],
        *,
        methods: list[str],
        controls: list[str],
        directions: dict[str, str | None],
        reference: str | None,
        seed: int,
    ) -> Comparison:
        """Puts the results of batches together."""
        failures = [failure for result in results for failure in result.failures]
        return cls(
            frame=_frame(results, methods, list(directions)),
            failures=pd.DataFrame(failures, columns=_FAILURE_COLUMNS).astype({"image": "Int64"}),
            directions=directions,
            methods=methods,
            controls=controls,
            reference=reference,
            metric_seconds=_metric_seconds(results, methods, list(directions)),
            curves={method: _mean_curves(results, method) for method in methods},
            gallery=[shown for result in results for shown in result.gallery],
            seed=seed,
        )

    @property
    def values(self) -> pd.DataFrame:
        """The frame without costs: the same for the same arguments, to the last bit."""
        return self.frame.drop(columns=COST_COLUMNS)

    def summary(self, by: str | None = None) -> pd.DataFrame:
        r"""
        Mean of each method and metric and its difference to the reference.

        Intervals are 95% bootstrap intervals of the mean over images (BCa; percentiles
        where BCa has none or there are over 2000 images). Differences are paired, image by
        image. Their p-values are those of a sign-flip test, ``p_holm`` corrects them for
        the number of methods compared at this metric (in this group) by Holm's method;
        metrics and groups are not corrected for. Values that are missing, NaN or infinite
        are left out, and out of the pairs.

        Args:

            by (str, optional): "class" for a summary of each true class (of the predicted
                        one without labels), "correct" for right and wrong predictions.
                        Default: None (all images)

        Returns:
            pandas.DataFrame: With the columns metric, direction, method, mean, low, high,
                        n, missing, difference (method minus reference), difference_low,
                        difference_high, pairs, p and p_holm, and before them "class" or
                        "correct".

        Raises:

            ValueError: If ``by`` is another value, or needs labels and there are none.
        """
        frames = []
        for group, frame in self._groups(by):
            for metric, direction in self.directions.items():
                table = _table(frame, metric, self.methods)
                rows = pd.DataFrame(summarize(table, self.reference, self.seed))
                rows.insert(0, "direction", direction)
                rows.insert(0, "metric", metric)
                if by is not None:
                    rows.insert(0, by, group)
                frames.append(rows)
        if frames:
            return pd.concat(frames, ignore_index=True)
        # No group, for no image could be compared: the columns are there all the same.
        columns = summarize(_table(self.frame, "", self.methods), None, self.seed)[0]
        names = [by] if by is not None else []
        return pd.DataFrame(columns=[*names, "metric", "direction", *columns])

    def costs(self) -> pd.DataFrame:
        """
        What each method's maps cost.

        Returns:
            pandas.DataFrame: A row for each method with mean seconds and rows of an image
                        and the largest peak_memory.
        """
        images = self.frame.drop_duplicates(["image", "method"])
        grouped = images.groupby("method", observed=True)
        return pd.DataFrame(
            {
                "seconds": grouped["seconds"].mean(),
                "rows": grouped["rows"].mean(),
                "peak_memory": grouped["peak_memory"].max(),
            }
        )

    def failures_in_words(self) -> str:
        """What failed, in a sentence for each kind; empty if nothing did."""
        kinds = self.failures.groupby(
            ["method", "metric", "error", "message"], sort=False, dropna=False
        )
        sentences = []
        for (method, metric, error, message), rows in kinds:
            if rows["image"].isna().all():
                sentences.append(f"{message} ({error})")
                continue
            where = method or "the model"
            where += f", {metric}," if metric else ""
            images = f"{len(rows)} image{'s' if len(rows) > 1 else ''}"
            sentences.append(f"{where} failed on {images} ({error}: {message})")
        more = f"; and {len(sentences) - 5} more" if len(sentences) > 5 else ""
        return "; ".join(sentences[:5]) + more + "." if sentences else ""

    def to_markdown(self, by: str | None = None, *, details: bool = True) -> str:
        """
        Tables of means and intervals, arrows towards better values.

        An asterisk marks what differs from the reference, Holm-corrected p-value below
        0.05. Methods in italics are controls, which explain nothing of the model.

        Args:

            by (str, optional): As in :meth:`summary`: one table for each group.
                        Default: None
            details (bool, optional): Whether the legend, costs and failures follow, which
                        are those of all images.
                        Default: True

        Returns:
            str: Tables in Markdown.
        """
        summary = self.summary(by)
        parts = []
        sizes = {group: frame["image"].nunique() for group, frame in self._groups(by)}
        for group, size in sizes.items():
            rows = summary if by is None else summary[summary[by] == group]
            if by is not None:
                parts.append(f"**{by}: {group}** ({size} image{'s' if size != 1 else ''})")
            names = list(self.directions)
            for start in range(0, len(names), _METRICS_PER_TABLE):
                parts.append(self._table_of_means(rows, names[start : start + _METRICS_PER_TABLE]))
        if details:
            parts += self._details()
        return "\n\n".join(parts) + "\n"

    def _details(self) -> list[str]:
        parts = []
        costs = self.costs()
        costs.index = pd.Index([self._shown(str(name)) for name in costs.index], name="method")
        costs.columns = pd.Index(["seconds/image", "rows/image", "peak memory, bytes"])
        n_images = self.frame["image"].nunique()
        parts.append(
            f"{n_images} images; mean [95% bootstrap interval]. "
            + (
                f"* differs from {self.reference}: sign-flip test, Holm-corrected p < 0.05. "
                if self.reference
                else ""
            )
            + "In italics: controls, which do not look at what the model decides."
        )
        parts.append(costs.dropna(axis=1, how="all").to_markdown(floatfmt=".4g"))
        if len(self.failures):
            parts.append(f"Failures: {self.failures_in_words()}")
        return parts

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """
        Writes the frame; floating-point numbers keep all their digits.

        Args:

            path (str or PathLike): File to write.
        """
        self.frame.to_csv(path, index=False)

    def plot(self, kind: str = "metrics") -> Figure:
        """
        A figure; needs matplotlib.

        Args:

            kind (str, optional): "metrics": a panel for each metric, with intervals.
                        "curves": mean insertion and deletion curves. "gallery": the first
                        images under every method.
                        Default: "metrics"

        Returns:
            matplotlib.figure.Figure: For its ``savefig``; pyplot knows nothing of it.

        Raises:

            ValueError: If ``kind`` is another value, or there is nothing of it to show.
            ImportError: If matplotlib is not installed.
        """
        from captum_clustered.comparison import plots

        kinds = {"metrics": plots.metrics, "curves": plots.curves, "gallery": plots.gallery}
        if kind not in kinds:
            raise ValueError(f"kind={kind!r} must be one of {', '.join(map(repr, kinds))}.")
        return kinds[kind](self)

    def _groups(self, by: str | None) -> list[tuple[Any, pd.DataFrame]]:
        if by is None:
            return [(None, self.frame)]
        if by not in ("class", "correct"):
            raise ValueError(f"by={by!r} must be 'class', 'correct' or None.")
        has_labels = self.frame["label"].notna().all()
        if by == "correct" and not has_labels:
            raise ValueError("by='correct' needs labels in data.")
        column = "correct" if by == "correct" else "label" if has_labels else "prediction"
        return [(group, frame) for group, frame in self.frame.groupby(column, sort=True)]

    def _shown(self, method: str) -> str:
        return f"*{method}*" if method in self.controls else method

    def _table_of_means(self, summary: pd.DataFrame, metrics: list[str]) -> str:
        columns = {}
        for metric in metrics:
            rows = summary[summary["metric"] == metric].set_index("method")
            columns[metric + _ARROWS[self.directions[metric]]] = [
                _cell(rows.loc[method]) for method in self.methods
            ]
        index = pd.Index([self._shown(method) for method in self.methods], name="method")
        return pd.DataFrame(columns, index=index).to_markdown()


def _frame(results: list[BatchResult], methods: list[str], metrics: list[str]) -> pd.DataFrame:
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
    """The columns of one batch, as numbers; only what is there."""
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


def _table(frame: pd.DataFrame, metric: str, methods: list[str]) -> pd.DataFrame:
    rows = frame[frame["metric"] == metric]
    table = rows.pivot_table(
        index="image", columns="method", values="value", observed=True, dropna=False
    )
    # Images without this metric are missing values, too.
    return table.reindex(index=np.sort(frame["image"].unique()), columns=methods)


def _metric_seconds(
    results: list[BatchResult], methods: list[str], metrics: list[str]
) -> pd.DataFrame:
    sums = pd.DataFrame(0.0, index=pd.Index(methods, name="method"), columns=metrics)
    for result in results:
        for method, seconds in result.metric_seconds.items():
            for metric, value in seconds.items():
                sums.loc[method, metric] += value
    return sums


def _mean_curves(results: list[BatchResult], method: str) -> dict[str, list[float]]:
    found: dict[str, tuple[int, Any]] = {}
    for result in results:
        for name, curve in result.curves.get(method, {}).items():
            n, total = found.get(name, (0, 0.0))
            found[name] = (n + curve["n"], total + np.asarray(curve["sum"]))
    return {name: (total / n).tolist() for name, (n, total) in found.items()}


def _cell(row: pd.Series) -> str:
    if math.isnan(row["mean"]):
        return "-"
    star = "*" if row["p_holm"] < 0.05 else ""
    missing = f" ({row['missing']} missing)" if row["missing"] else ""
    between = "" if math.isnan(row["low"]) else f" [{row['low']:.3g}, {row['high']:.3g}]"
    return f"{row['mean']:.3g}{star}{between}{missing}"
