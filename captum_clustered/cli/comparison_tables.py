"""The tables that the command compare prints."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd  # type: ignore[import-untyped]
from rich.console import Group
from rich.text import Text

from captum_clustered.cli.console import out, show, titled
from captum_clustered.comparison import Comparison
from captum_clustered.comparison.result import significance

__all__ = ["show_summary"]

METRICS_PER_TABLE = 5


def show_summary(comparison: Comparison) -> None:
    """Print the means of all methods, with a few metrics in each table."""
    summary = comparison.summary()
    metrics = list(comparison.directions)
    n_images = comparison.frame["image"].nunique()
    title = f"Means over {n_images} image{'s' if n_images > 1 else ''}"
    for start in range(0, len(metrics), METRICS_PER_TABLE):
        some = metrics[start : start + METRICS_PER_TABLE]
        show(_table(comparison, summary, some, title if start == 0 else ""))
    remarks = [comparison.significance_note(), "Dimmed: controls, which ignore the class."]
    remark = " ".join(filter(None, remarks))
    out.print(Text(remark), soft_wrap=True)


def _table(
    comparison: Comparison, summary: pd.DataFrame, metrics: Sequence[str], title: str
) -> Group:
    headers = [comparison.heading(metric) for metric in metrics]
    group, table = titled(title, "Method", *headers, right=headers)
    columns = [summary[summary["metric"] == metric].set_index("method") for metric in metrics]
    for method in comparison.methods:
        cells = []
        for column in columns:
            row = column.loc[method]
            star = significance(row)
            cells.append(f"{row['mean']:.3g}{star}" if row["n"] else "-")
        style = "dim" if method in comparison.controls else None
        table.add_row(Text(method), *cells, style=style)
    return group if title else Group(table, "")
