"""A network's clusters of channels over a whole data set: table and contact sheet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Group
from rich.text import Text

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._errors import UserError, explained, printable
from captum_clustered.cli.console import out, show
from captum_clustered.cli.run import Prepared, again
from captum_clustered.cli.tables import titled
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.dataset_run import ClusterMean, ClusterSummary, Example, Run, cluster_summary
from captum_clustered.dataset_run.store import CLUSTERS
from captum_clustered.scores import SCORES
from captum_clustered.visualization.arrays import as_map, as_picture, resized
from captum_clustered.visualization.explanation import INK, INTERPOLATION, MUTED, save_figure
from captum_clustered.visualization.overlay import draw_overlay
from captum_clustered.visualization.scale import Scale

__all__ = ["summarize"]

SHEET = "clusters.png"
# Rows of the sheet.
MAX_CLUSTERS = 12
# Classes beside the mean of all, as many as fit there; clusters.csv has all.
MAX_CLASSES = 4
CELL, TEXT, GAP, TITLE, CAPTION = 1.7, 3.0, 0.12, 1.0, 0.42
DPI = 100


def summarize(folder: Path, n_examples: int) -> None:
    """
    Prints what each cluster is worth for each class and writes it, and the sheet, to the run.

    Args:

        folder (Path): Of a run with one clustering for all images.
        n_examples (int): Images for each cluster.

    Raises:

        UserError: If there is no such run, or its model or data are not there any more.
    """
    try:
        run = Run(folder)
        summary = cluster_summary(run, n_examples)
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
    prepared = again(folder)
    prepared.check_same(run)
    with explained(f"Nothing can be written to {printable(folder)}"):
        summary.save(folder)
    show(_table(summary, prepared))
    sheet = _Sheet(summary, prepared, run)
    with explained(f"{printable(folder / SHEET)} cannot be written"):
        save_figure(sheet.draw(), folder / SHEET)
    names = ("clusters.csv", "cluster_examples.csv", SHEET)
    written = ", ".join(printable(folder / name) for name in names)
    out.print(Text(f"Wrote {written}"), soft_wrap=True)


def _table(summary: ClusterSummary, prepared: Prepared) -> Group:
    settings = prepared.explainer.settings
    unit = IMPORTANCES[settings.importance].label
    targets = _frequent(summary)
    n_targets = len({mean.target for mean in summary.means}) - 1
    total = next(mean.images for mean in summary.means)
    some = "" if len(targets) == n_targets else f" (the {len(targets)} most frequent)"
    columns = ["Cluster", "Channels", "All images"]
    columns += [prepared.class_name(target) for target in targets]
    group, table = titled(
        f"Mean {unit} of the {SCORES[settings.score].label} over {total} images, by explained "
        f"class{some}",
        *columns,
        right=columns,
    )
    by = {(mean.cluster, mean.target): mean for mean in summary.means}
    for cluster in summary.clusters:
        row = [by[cluster, target] for target in (None, *targets)]
        values = [f"{mean.mean:+.4g}" for mean in row]
        table.add_row(str(cluster), str(row[0].channels), *values)
    return group


@dataclass(frozen=True)
class _Cell:
    """An image and where a cluster fires in it."""

    example: Example
    picture: npt.NDArray[np.float64]
    map: npt.NDArray[np.float64]


class _Sheet:
    """A row for each cluster, the most important first, with its images."""

    def __init__(self, summary: ClusterSummary, prepared: Prepared, run: Run) -> None:
        self._summary = summary
        self._prepared = prepared
        self._settings = prepared.explainer.settings
        self._cam = _with_labels(prepared, run)
        self._clusters = summary.clusters[:MAX_CLUSTERS]
        self._targets = _frequent(summary)

    def draw(self) -> Figure:
        rows = {j: [e for e in self._summary.examples if e.cluster == j] for j in self._clusters}
        n_columns = max(map(len, rows.values()), default=0)
        width = TEXT + n_columns * (CELL + GAP) + 0.3
        height = TITLE + len(rows) * (CELL + CAPTION + GAP)
        figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)

        def text(x: float, y: float, words: str, size: float, **style: Any) -> None:
            style = {"color": INK, "va": "top", **style}
            figure.text(x / width, 1 - y / height, words, fontsize=size, parse_math=False, **style)

        text(0.3, 0.2, "Clusters of channels and the images where they matter most", 15)
        text(0.3, 0.6, self._subtitle(), 10, color=MUTED)
        for number, (cluster, examples) in enumerate(rows.items()):
            top = TITLE + number * (CELL + CAPTION + GAP)
            text(0.3, top + 0.1, f"Cluster {cluster}", 13)
            text(0.3, top + 0.4, self._facts(cluster), 9.5, color=MUTED, linespacing=1.45)
            cells = [self._cell(example) for example in examples]
            scale = Scale.of([cell.map for cell in cells])
            for column, cell in enumerate(cells):
                left = TEXT + column * (CELL + GAP)
                axes = figure.add_axes(
                    (left / width, 1 - (top + CELL) / height, CELL / width, CELL / height)
                )
                draw_overlay(axes, cell.picture, cell.map, scale)
                text(left, top + CELL + 0.05, self._caption(cell.example), 7.5, color=INK)
        return figure

    def _subtitle(self) -> str:
        total = next(mean.images for mean in self._summary.means)
        shown = len(self._clusters)
        some = "" if shown == len(self._summary.clusters) else f"; the first {shown} are shown"
        return (
            f"{total} images, {self._prepared.model.name}, layer {self._settings.layer}; drop of "
            f"the {SCORES[self._settings.score].label} without the cluster{some}. Yellow speaks "
            "for the class, blue against it, on one scale for each row."
        )

    def _facts(self, cluster: int) -> str:
        means = [mean for mean in self._summary.means if mean.cluster == cluster]
        lines = [f"{means[0].channels} channels", f"mean {_signed(means[0])}"]
        lines += [
            f"{_short(self._prepared.class_name(mean.target), 16)} {_signed(mean)}"
            for mean in means
            if mean.target in self._targets
        ]
        return "\n".join(lines)

    def _caption(self, example: Example) -> str:
        name = self._prepared.class_name(example.target)
        item = _short(Path(example.item).name, 26)
        return f"{item}\n{example.importance:+.3g}, {_short(name, 18)}"

    def _cell(self, example: Example) -> _Cell:
        prepared = self._prepared
        with explained(f"{example.item} cannot be read again"):
            inputs = prepared.items[example.index][0][None]
            _, clusters = self._cam.attribute(
                inputs.to(prepared.model.device),
                example.target,
                attribute_to_layer_input=self._settings.layer_input,
                return_clusters=True,
            )
        picture = as_picture(prepared.preprocessing.picture(inputs))
        fires = as_map(clusters.maps[0, example.cluster])
        return _Cell(example, picture, resized(fires, picture.shape[:2], INTERPOLATION))


def _with_labels(prepared: Prepared, run: Run) -> ClusteredLayerCAM:
    cam, labels = prepared.explainer.cam, run.cluster_labels
    if labels is None:
        raise UserError(
            f"{printable(run.folder / CLUSTERS)} is missing or damaged; the run's command, started "
            "again, learns the clusters anew."
        )
    cam.clusterer, cam.n_clusterings = labels, 1
    return cam


def _frequent(summary: ClusterSummary) -> list[int]:
    """The classes that were explained most often, in their order."""
    images = {mean.target: mean.images for mean in summary.means if mean.target is not None}
    return sorted(sorted(images, key=lambda target: -images[target])[:MAX_CLASSES])


def _signed(mean: ClusterMean) -> str:
    return f"{mean.mean:+.3g} (n = {mean.images})"


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
