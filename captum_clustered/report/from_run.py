"""The report of a run over a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from captum_clustered._errors import one_line
from captum_clustered._storage.atomic import read_json_object
from captum_clustered._storage.layout import COMMAND
from captum_clustered.data._originals import Original
from captum_clustered.dataset_run import ClusterSummary, Run, cluster_summary
from captum_clustered.report import content
from captum_clustered.report.packing import (
    MAP_BYTES,
    PICTURE_SIDE,
    class_facts,
    counted,
    largest_side,
    packed_map,
    packed_picture,
    packed_seen,
    rounded,
    unsigned,
)
from captum_clustered.visualization.arrays import as_bytes, stretched
from captum_clustered.visualization.interpolation import Seen
from captum_clustered.visualization.scale import signed_text

# A page has whole chunks with about this number of images, so that it stays below 20 MB.
PAGE_IMAGES = 2000
# Clusters to order by, and classes beside the mean of all images, the most frequent.
MOST_CLUSTERS = 20
MOST_CLASSES = 4
# Clusters that are named for each image.
NAMED = 3


def run_reports(run: Run, dataset: Any = None) -> Iterator[content.Report]:
    """
    Yield the pages of a run, finished or not.

    Items of the data set are pictures or inputs; without it, the pages have maps alone. Raises
    ValueError if no image is explained or a chunk is damaged.
    """
    size = max(1, PAGE_IMAGES // run.manifest.chunk_size) * run.manifest.chunk_size
    counts: dict[int, int] = {}
    of_classes: dict[int, list[float]] = {}
    for table in run.tables(["index", "target", "score"]):
        page = table["index"][0].as_py() // size
        counts[page] = counts.get(page, 0) + len(table)
        for target, score in zip(*(table[n].to_pylist() for n in ("target", "score")), strict=True):
            if target is not None:
                found = of_classes.setdefault(target, [0, 0.0])
                found[0], found[1] = found[0] + 1, found[1] + score
    if not of_classes:
        raise ValueError(f"{run.folder} has no image that is explained: there is nothing to show.")
    pages = _Pages(run, dataset)
    summary = pages.summary(of_classes)
    for page, tables in groupby(run.tables(), lambda table: table["index"][0].as_py() // size):
        yield pages.report(tables, summary, counts[page], list(counts).index(page), len(counts))


@dataclass
class _Pages:
    """Makes the pages of a run."""

    run: Run
    dataset: Any
    about: dict[str, Any] = field(init=False)
    clusters: ClusterSummary | None = field(init=False)

    def __post_init__(self) -> None:
        path = self.run.folder / COMMAND
        # What the command knows beyond the results.
        self.about = (read_json_object(path) or {}) if path.exists() else {}
        self.clusters = cluster_summary(self.run, 0) if self.run.has_shared_clusters else None

    def class_name(self, number: int) -> str:
        names = self.about.get("classes", [])
        return str(names[number]) if number < len(names) else f"class {number}"

    @property
    def facts(self) -> list[tuple[str, str]]:
        settings = self.run.manifest.settings
        where = "input of " if settings["attribute_to_layer_input"] else ""
        facts = {
            "Model": self.about.get("network", {}).get("model", settings["model"]),
            "Layer": f"{where}{settings['layer']}",
            "Score": self.about.get("settings", {}).get("score", settings["score"]),
            "Explained class": settings["target"],
            "Preprocessing": self.about.get("preprocessing"),
            "Importance": settings["importance"],
            "Scaling": settings["scaling"],
            "Clusters": None if self.clusters else settings["clusterer"],
            "Views": ", ".join(settings["views"]),
            "Seed": settings["seed"],
        }
        if self.about.get("classes_are_a_guess") and self.about.get("classes"):
            facts["Classes"] = f"{', '.join(self.about['classes'])} (a guess)"
        if not self.run.is_complete:
            facts["Not finished"] = "only the images of the stored chunks are shown"
        return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]

    def summary(self, of_classes: dict[int, list[float]]) -> content.Summary:
        """Return the table of the clusters, or of the classes if each image has its own."""
        if self.clusters is None:
            return content.Summary(
                kind="Explained class",
                columns=[content.Column("images"), content.Column("mean score")],
                rows=[
                    content.Row(self.class_name(target), "", [_number(n), _number(total / n)])
                    for target, (n, total) in sorted(of_classes.items())
                ],
                remarks=["Each image has its own clusters, so they have no means over images."],
            )
        means = {(mean.cluster, mean.target): mean for mean in self.clusters.means}
        # Of one class, it is the mean of all.
        several = len(of_classes) > 1
        targets = self.clusters.frequent_targets(MOST_CLASSES) if several else []
        rows = []
        for cluster in self.clusters.clusters:
            whole = means[cluster, None]
            cells = [
                _number(whole.channels),
                _signed(whole.mean),
                content.Cell(f"{whole.positive:.0%}", order=whole.positive),
                *(_signed(means[cluster, target].mean) for target in targets),
            ]
            rows.append(content.Row(f"Cluster {cluster}", "", cells))
        columns = ["channels", "mean importance", "raises the score"]
        columns += [f"mean of {self.class_name(target)}" for target in targets]
        return content.Summary(
            kind="Cluster",
            columns=[content.Column(name) for name in columns],
            rows=rows,
            remarks=[
                f"Means over {counted(self.clusters.n_images, 'image')}, and over those of an "
                "explained class.",
                "A cluster raises the score of the share of images in which its importance is "
                "positive.",
            ],
        )

    def report(
        self, tables: Iterator[pa.Table], summary: content.Summary, n: int, page: int, n_pages: int
    ) -> content.Report:
        """Return one page."""
        side = largest_side(n, MAP_BYTES)
        images, left_out, classes = [], [], {}
        is_reduced = max(self.run.manifest.attribution_shape) > side
        for table in tables:
            for row, values in zip(
                table.drop_columns(["attribution"]).to_pylist(),
                self.run.attributions(table),
                strict=True,
            ):
                if row["error"] is not None:
                    left_out.append((row["item"], row["error"]))
                    continue
                images.append(self._image(row, values, side))
                for number in (row["label"], row["prediction"]):
                    if number is not None:
                        classes[number] = self.class_name(number)
        remarks = ["Each map is colored relative to its own largest absolute value."]
        if is_reduced:
            remarks.append(f"Maps of more than {side} x {side} values were shrunk to that.")
        if self.dataset is None:
            remarks.append("A run stores no images: give its data set to show them below the maps.")
        numbers = ["score", "score without the layer", *self._cluster_names()]
        return content.Report(
            title=f"Run over {counted(self.run.manifest.n_items, 'image')}",
            facts=self.facts,
            summary=summary,
            left_out=left_out,
            remarks=remarks,
            methods=[content.Shown("Clustered-CAM")],
            numbers=[content.Number(name) for name in numbers],
            classes=classes,
            images=images,
            page=page,
            n_pages=n_pages,
        )

    def _ordered_clusters(self) -> list[int]:
        return [] if self.clusters is None else self.clusters.clusters[:MOST_CLUSTERS]

    def _cluster_names(self) -> list[str]:
        if self.clusters is None:
            return ["largest importance"]
        return [f"importance of cluster {cluster}" for cluster in self._ordered_clusters()]

    def _image(
        self, row: dict[str, Any], values: NDArray[np.float32], side: int
    ) -> content.ShownImage:
        is_flat = values.ndim == 2
        picture, seen, problem = self._picture(row["index"]) if is_flat else (None, None, "")
        height, width = self.run.manifest.input_shape[-2:] if is_flat else (0, 0)
        scale = min(1.0, PICTURE_SIDE / max(height, width, 1))
        packed: tuple[str | None, int, int] = (
            (None, round(scale * height), round(scale * width))
            if picture is None
            else packed_picture(picture)
        )
        importances = np.array(row["importances"])
        numbers = [row["score"], row["baseline_score"]]
        if self.clusters is None:
            numbers.append(float(importances.max()))
        numbers += [float(importances[j]) for j in self._ordered_clusters()]
        return content.ShownImage(
            name=row["item"],
            facts=[*self._facts(row, importances), *([problem] if problem else [])],
            label=row["label"],
            prediction=row["prediction"],
            picture=packed[0],
            seen=packed_seen(seen),
            height=packed[1],
            width=packed[2],
            mask=None,
            maps=[packed_map(values, None, side)] if is_flat else [],
            values=[[rounded(number)] for number in numbers],
        )

    def _picture(self, index: int) -> tuple[NDArray[np.uint8] | None, Seen | None, str]:
        """Return the picture of an item, (height, width, 1 or 3), its part, or what is wrong."""
        if self.dataset is None:
            return None, None, ""
        try:
            item = self.dataset[index]
            if isinstance(item, Original):
                return item.picture, item.seen, ""
            value = item[0] if isinstance(item, (tuple, list)) else item
            if isinstance(value, Tensor):
                return as_bytes(stretched(value)[None])[0], None, ""
            array = np.asarray(value)
            return (array[:, :, None] if array.ndim == 2 else array[:, :, :3]), None, ""
        except Exception as error:  # noqa: BLE001
            # One file that was moved must not cost the page.
            return None, None, f"the image cannot be read again: {one_line(error)}"

    def _facts(self, row: dict[str, Any], importances: NDArray[Any]) -> list[str]:
        facts = class_facts(row["label"], row["prediction"], self.class_name)
        if row["target"] != row["prediction"]:
            facts.append(f"explained: {self.class_name(row['target'])}")
        facts.append(
            f"score {unsigned(row['score'])}, without the layer {unsigned(row['baseline_score'])}"
        )
        order = np.argsort(-np.abs(importances), kind="stable")[:NAMED]
        named = [signed_text(float(importances[j])) for j in order]
        if self.clusters is not None:
            named = [f"cluster {j} {text}" for j, text in zip(order, named, strict=True)]
        facts.append(f"largest importances: {', '.join(named)}")
        return facts


def _number(value: float) -> content.Cell:
    return content.Cell(unsigned(value), order=value)


def _signed(value: float) -> content.Cell:
    return content.Cell(signed_text(value), order=value)
