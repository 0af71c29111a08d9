"""The result of a comparison: values, summary, tables and figures."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd  # type: ignore[import-untyped]

from captum_clustered._storage.layout import RunDescription
from captum_clustered.comparison.controls import CONTROLS
from captum_clustered.comparison.frames import (
    COST_COLUMNS,
    frame_of,
    mean_curves_of,
    metric_seconds_of,
    table_of,
)
from captum_clustered.comparison.pictures import KeptImage
from captum_clustered.comparison.statistics import SIGNIFICANCE, SUMMARY_COLUMNS, summarize
from captum_clustered.comparison.store import FAILURE_COLUMNS, BatchResult
from captum_clustered.metrics._registry import ARROWS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = ("metrics", "curves", "gallery")
_METRICS_PER_TABLE = 4


@dataclass(repr=False)
class Comparison:
    r"""
    Results of :func:`compare`.

    Attributes:

        frame (pandas.DataFrame): A row for each image, method and metric, with the columns
                    image (its index in the data), label, prediction, correct, target,
                    method, metric and value. Three more columns are costs of the method's
                    map of the image: seconds; forward_examples (examples that went through
                    forward_func, not counting evaluations of only the layers behind the
                    explained layer; 0 if a method of the user does not call forward_func);
                    and peak_memory (additional bytes on the GPU; NaN on the CPU). The
                    images of a batch share its costs equally.
        failures (pandas.DataFrame): A row for each image, method and metric that raised,
                    with the columns image, method, metric, error and message. Without a
                    metric the map is missing, without a method the image, and without an
                    image the rest of the data.
        directions (dict): Metric -> which values are better: "higher", "lower" or None.
        methods (list): Methods in the order of the tables, controls last.
        controls (list): The methods that ignore which class is explained.
        reference (str or None): The method that others are compared with.
        metric_seconds (pandas.DataFrame): Seconds of each metric, a row for each method.
        curves (dict): Method -> curve ("insertion blur", "deletion 0.0" or "deletion
                    blur") -> its mean over the images.
        gallery (list): Pictures of the first images and their maps.
        seed (int): Seed of resamples.
        names (list or None): Names of the images in figures instead of their numbers.
        classes (dict): Class -> its name in figures instead of its number.
        unread (list): Names of the files that could not be read, and the reasons.
    """

    frame: pd.DataFrame
    failures: pd.DataFrame
    directions: dict[str, str | None]
    methods: list[str]
    controls: list[str]
    reference: str | None
    metric_seconds: pd.DataFrame = field(repr=False)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict, repr=False)
    gallery: list[KeptImage] = field(default_factory=list, repr=False)
    seed: int = 0
    names: list[str] | None = field(default=None, repr=False)
    classes: dict[int, str] = field(default_factory=dict, repr=False)
    unread: list[tuple[str, str]] = field(default_factory=list, repr=False)

    def __repr__(self) -> str:
        """Say in one line what was compared."""
        n_failures = f", {len(self.failures)} failures" if len(self.failures) else ""
        return (
            f"Comparison({len(self.methods)} methods, {self.frame['image'].nunique()} images, "
            f"{len(self.directions)} metrics, reference {self.reference!r}{n_failures})"
        )

    @classmethod
    def from_batches(
        cls,
        results: list[BatchResult],
        *,
        methods: list[str],
        directions: dict[str, str | None],
        reference: str | None,
        seed: int,
        gallery: list[KeptImage],
    ) -> Comparison:
        """Combine the results of batches."""
        failures = [failure for result in results for failure in result.failures]
        return cls(
            frame=frame_of(results, methods, list(directions)),
            failures=pd.DataFrame(failures, columns=FAILURE_COLUMNS).astype({"image": "Int64"}),
            directions=directions,
            methods=methods,
            controls=[info.name for info in CONTROLS if info.name in methods],
            reference=reference,
            metric_seconds=metric_seconds_of(results, methods, list(directions)),
            curves={method: mean_curves_of(results, method) for method in methods},
            gallery=gallery,
            seed=seed,
        )

    @property
    def values(self) -> pd.DataFrame:
        """Return the frame without costs: identical for identical arguments."""
        return self.frame.drop(columns=COST_COLUMNS)

    def summary(self, by: str | None = None) -> pd.DataFrame:
        r"""
        Return the mean of each method and metric and its difference to the reference.

        Intervals are 95% bootstrap intervals of the mean over images (BCa; percentiles
        where BCa fails or for more than 2000 images). Differences are paired by image.
        Their p-values are those of a sign-flip test. ``p_holm`` is corrected by Holm's
        method for the number of methods compared in this metric (and group), but not for
        the number of metrics and groups. Missing, NaN and infinite values are left out.

        Args:

            by (str, optional): "class" for a summary of each true class (without labels,
                        each predicted class), "correct" for right and wrong predictions.
                        Default: None (all images)

        Returns:
            pandas.DataFrame: With the columns metric, direction, method, mean, low, high,
                        n, missing, difference (method minus reference), difference_low,
                        difference_high, pairs, p and p_holm, and before them "class" or
                        "correct".

        Raises:

            ValueError: If ``by`` is another value, or needs labels and there are none.
        """
        rows = [
            {by: group, "metric": metric, "direction": direction, **row}
            for group, frame in self._groups(by)
            for metric, direction in self.directions.items()
            for row in summarize(table_of(frame, metric, self.methods), self.reference, self.seed)
        ]
        names = [by] if by is not None else []
        return pd.DataFrame(rows, columns=[*names, "metric", "direction", *SUMMARY_COLUMNS])

    def costs(self) -> pd.DataFrame:
        """
        Return the cost of each method's maps.

        Returns:
            pandas.DataFrame: A row for each method with the mean seconds and
                        forward_examples per image and the largest peak_memory.
        """
        images = self.frame.drop_duplicates(["image", "method"])
        means = {"seconds": "mean", "forward_examples": "mean", "peak_memory": "max"}
        return images.groupby("method", observed=True)[list(means)].agg(means)

    def failures_in_words(self) -> str:
        """Return a sentence for each kind of failure; empty if nothing failed."""
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

    def left_out(self) -> list[tuple[str, str]]:
        """
        Return what is missing and why, once for each image or for each method and reason.

        Returns:
            list[tuple[str, str]]: Name of an image, or a method and metric; and the reason.
        """
        found: dict[tuple[str, str], None] = {}
        for row in self.failures.itertuples():
            reason = f"{row.error}: {row.message}" if row.message else str(row.error)
            if row.method:
                what = f"{row.method}, {row.metric}" if row.metric else row.method
            elif pd.isna(row.image):
                what = "further images"
            else:
                what = self.name_of(row.image)
            found[what, reason] = None
        return [*self.unread, *found]

    def name_of(self, number: int) -> str:
        """Return the name of an image, or its number in words."""
        return f"image {number}" if self.names is None else self.names[number]

    def class_name(self, index: int) -> str:
        """Return the name of a class, or its number in words."""
        return self.classes.get(index, f"class {index}")

    def heading(self, metric: str) -> str:
        """Return a metric's name with an arrow towards better values."""
        return metric + ARROWS[self.directions[metric]]

    def significance_note(self) -> str:
        """Return the meaning of asterisks in tables; empty without a reference."""
        if self.reference is None:
            return ""
        return (
            f"* differs from {self.reference}: sign-flip test, Holm-corrected p < {SIGNIFICANCE}."
        )

    def to_markdown(self, by: str | None = None, *, details: bool = True) -> str:
        """
        Return tables of means and intervals, with arrows towards better values.

        An asterisk marks a significant difference to the reference. Methods in italics
        are controls.

        Args:

            by (str, optional): As in :meth:`summary`: one table for each group.
                        Default: None
            details (bool, optional): Whether legend, costs and failures of all images
                        follow.
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
        costs = self.costs().rename(index=self._shown)
        costs.columns = pd.Index(["seconds/image", "forward examples/image", "peak memory, bytes"])
        legend = [
            f"{self.frame['image'].nunique()} images; mean [95% bootstrap interval].",
            self.significance_note(),
            "In italics: controls, which ignore which class is explained.",
        ]
        table = costs.dropna(axis=1, how="all").to_markdown(floatfmt=".4g")
        failures = [f"Failures: {self.failures_in_words()}"] if len(self.failures) else []
        return [" ".join(filter(None, legend)), table, *failures]

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """
        Write the frame, with the names of files if known; numbers keep all their digits.

        Args:

            path (str or PathLike): File to write.
        """
        frame = self.frame
        if self.names is not None:
            frame = frame.copy()
            frame.insert(1, "file", [self.names[number] for number in frame["image"]])
        frame.to_csv(path, index=False)

    def save(
        self,
        folder: str | os.PathLike[str],
        heading: str = "",
        facts: Mapping[str, str] | None = None,
        **look: Any,
    ) -> list[str]:
        """
        Write results.csv, summary.md and figures.

        If ``state`` in the folder was ``save_to`` of the comparison,
        :func:`captum_clustered.report.write_report` makes a page of the folder.

        Args:

            folder (str or PathLike): The folder, which must exist.
            heading (str, optional): Markdown above the tables.
                        Default: ""
            facts (mapping, optional): Headings and values for the top of that page.
                        Default: None
            **look: Of the gallery, as in :meth:`plot`.

        Returns:
            list[str]: Names of the files.

        Warns:

            UserWarning: If there is nothing to show in a figure.
        """
        from captum_clustered.visualization.canvas import save_figure

        folder = Path(folder)
        text = heading + self.to_markdown()
        if self.frame["label"].notna().all():
            groups = self.to_markdown(by="correct", details=False)
            text += f"\n## Right and wrong predictions\n\n{groups}"
        (folder / "summary.md").write_text(text, encoding="utf-8")
        self.to_csv(folder / "results.csv")
        numbers = pd.concat([self.frame[name] for name in ("label", "prediction", "target")])
        classes = {int(i): self.class_name(int(i)) for i in numbers.dropna().unique()}
        RunDescription(dict(facts or {}), self.names or [], self.unread, classes).save(folder)
        written = ["results.csv", "summary.md"]
        for kind in FIGURES:
            try:
                figure = self.plot(kind, **(look if kind == "gallery" else {}))
            except ValueError as error:
                warnings.warn(f"{kind}.png is left out: {error}", stacklevel=2)
                continue
            save_figure(figure, folder / f"{kind}.png")
            written.append(f"{kind}.png")
        return written

    def plot(self, kind: str = "metrics", **look: Any) -> Figure:
        """
        Return a figure; needs matplotlib.

        Args:

            kind (str, optional): "metrics": a panel for each metric, with intervals.
                        "curves": mean insertion and deletion curves. "gallery": the first
                        images under all methods.
                        Default: "metrics"
            **look: Of the gallery: ``opacity``, ``outline`` and ``keep_colors``, as in
                        :func:`captum_clustered.visualization.overlay`.

        Returns:
            matplotlib.figure.Figure: The figure; pyplot does not hold it.

        Raises:

            ValueError: If ``kind`` is another value, or there is nothing to show.
            ImportError: If matplotlib is not installed.
        """
        from captum_clustered.comparison import plots

        kinds = {"metrics": plots.metrics, "curves": plots.curves, "gallery": plots.gallery}
        if kind not in kinds:
            raise ValueError(f"kind={kind!r} must be one of {', '.join(map(repr, kinds))}.")
        return kinds[kind](self, **look)

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
            columns[self.heading(metric)] = [_cell(rows.loc[method]) for method in self.methods]
        index = pd.Index([self._shown(method) for method in self.methods], name="method")
        return pd.DataFrame(columns, index=index).to_markdown()


def significance(row: pd.Series) -> str:
    """Return the asterisk of a row of the summary that differs from the reference."""
    return "*" if row["p_holm"] < SIGNIFICANCE else ""


def _cell(row: pd.Series) -> str:
    if math.isnan(row["mean"]):
        return "-"
    star = significance(row)
    missing = f" ({row['missing']} missing)" if row["missing"] else ""
    between = "" if math.isnan(row["low"]) else f" [{row['low']:.3g}, {row['high']:.3g}]"
    return f"{row['mean']:.3g}{star}{between}{missing}"
