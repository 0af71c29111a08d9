"""Tables of the study in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd  # type: ignore[import-untyped]

from captum_clustered.comparison import Comparison
from study.stability import sensitivity_ratios
from study.verdicts import verdicts

# The metrics that the paper reports.
PAPER = {
    "average drop": "average drop, % ↓",
    "increase in confidence": "increase in confidence, % ↑",
}


def paper_table(comparison: Comparison) -> str:
    """Return average drop and increase in confidence by method; controls are in italics."""
    means = comparison.frame.pivot_table(
        index="method", columns="metric", values="value", observed=True
    )
    columns = {shown: means[name] for name, shown in PAPER.items() if name in means}
    table = pd.DataFrame(columns).reindex(comparison.methods)
    table.index = pd.Index([_shown(comparison, name) for name in table.index], name="method")
    return str(table.to_markdown(floatfmt=".1f"))


def verdicts_table(comparison: Comparison, patients: Sequence[str]) -> str:
    """Return differences to the reference by method, with intervals and verdicts."""
    rows = verdicts(comparison, patients)
    if rows.empty:
        return ""
    rows["cell"] = [
        f"{row.difference:+.3g} [{row.low:+.3g}, {row.high:+.3g}] {row.verdict}"
        for row in rows.itertuples()
    ]
    table = rows.pivot_table(index="method", columns="metric", values="cell", aggfunc="first")
    methods = [name for name in comparison.methods if name != comparison.reference]
    table = table.reindex(index=methods, columns=list(dict.fromkeys(rows["metric"])))
    table.columns = pd.Index([comparison.heading(name) for name in table])
    table.index = pd.Index([_shown(comparison, name) for name in methods], name="method")
    return (
        f"Difference to {comparison.reference} [95% interval over patients] and verdict:\n\n"
        f"{table.to_markdown()}"
    )


def sensitivity_table(comparison: Comparison) -> str:
    """Return the ratios of max-sensitivity, or an empty text if they were not computed."""
    table = sensitivity_ratios(comparison)
    if table.empty:
        return ""
    table["method"] = [_shown(comparison, name) for name in table["method"]]
    table.columns = pd.Index(
        ["method", "ratio ↓", "pairs of images", "maps of zeros", "images left out"]
    )
    return (
        f"max-sensitivity as a multiple of {comparison.reference}'s, median over the images:\n\n"
        f"{table.to_markdown(index=False, floatfmt='.3g')}"
    )


def _shown(comparison: Comparison, method: str) -> str:
    return f"*{method}*" if method in comparison.controls else method
