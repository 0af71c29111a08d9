"""The tables that are printed."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, JustifyMethod
from rich.table import Table
from rich.text import Text

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered.explain import Explanation
from captum_clustered.models import LayerInfo, Model
from captum_clustered.scores import SCORES

__all__ = ["class_table", "cluster_table", "failure_table", "layer_table", "titled"]


def titled(title: str, *columns: str, right: Sequence[str] = ()) -> tuple[Group, Table]:
    """A table below its title, which may be wider; columns in ``right`` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for column in columns:
        justify: JustifyMethod = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold")
    return Group("", Text(title, style="bold"), table, ""), table


def class_table(explanation: Explanation) -> Group:
    """The most probable classes, and the explained one if it is not among them."""
    group, table = titled(
        "Most probable classes", "Class", "Index", "Probability", "", right=("Index", "Probability")
    )
    probabilities = explanation.probabilities
    for index in explanation.top_classes():
        is_target = index == explanation.target
        table.add_row(
            Text(explanation.class_name(index)),
            str(index),
            f"{probabilities[index]:.2%}",
            "explained" if is_target else "",
            style="bold" if is_target else None,
        )
    return group


def cluster_table(explanation: Explanation) -> Group:
    """Each cluster's channels and importance."""
    settings = explanation.settings
    title = (
        f"Clusters of channels: {SCORES[settings.score].label} {explanation.score:.4g}, "
        f"{explanation.baseline_score:.4g} without the whole layer"
    )
    importance = IMPORTANCES[settings.importance].label
    columns = ("Cluster", "Channels", importance[0].upper() + importance[1:])
    group, table = titled(title, *columns, right=columns)
    for j in explanation.by_importance():
        size, value = int(explanation.sizes[j]), float(explanation.importances[j])
        table.add_row(str(j), str(size), f"{value:+.4g}")
    return group


def layer_table(rows: Sequence[LayerInfo], model: Model, size: int) -> Group:
    """The layers to choose from."""
    title = f"Layers of {model.name} for an input of {size} x {size}"
    group, table = titled(title, "Layer", "Type", "Shape", "Kind", "Options")
    for row in rows:
        options = ["use --layer-input"] if row.at_input else []
        if row.kind.channel_dim != 1:
            options.append(f"use --channel-dim {row.kind.channel_dim}")
        if row.usual:
            options.append("<- usual choice")
        table.add_row(
            Text(f"{row.name} (input)" if row.at_input else row.name),
            row.type_name,
            " x ".join(map(str, row.shape[1:])),
            row.kind.name,
            " ".join(options),
            style="bold green" if row.usual else None,
        )
    return group


def failure_table(failures: Sequence[tuple[str, str]]) -> Group:
    """Which images failed, and why."""
    group, table = titled("Failed images", "Image", "Reason")
    for image, reason in failures:
        table.add_row(Text(image), Text(reason))
    return group
