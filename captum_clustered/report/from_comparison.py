"""The report of a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]

from captum_clustered._storage.layout import RunDescription
from captum_clustered.comparison.pictures import Pictures
from captum_clustered.comparison.result import Comparison, significance
from captum_clustered.comparison.store import BatchResult
from captum_clustered.comparison.stored import StoredComparison
from captum_clustered.report.content import (
    Cell,
    ClusterPanel,
    Column,
    Failed,
    Map,
    Number,
    Report,
    Row,
    Shown,
    ShownImage,
    Summary,
)
from captum_clustered.report.packing import (
    CLUSTER_BYTES,
    MAP_BYTES,
    counted,
    largest_side,
    limit_of,
    packed_clusters,
    packed_map,
    packed_mask,
    packed_picture,
    rounded,
)


def compare_report(state: Path, described: RunDescription | None = None) -> Report:
    """
    Return the report of a folder that compare has written.

    Args:

        state (Path): The folder ``save_to``.
        described (RunDescription, optional): Names and facts from the command compare.
                    Default: None (images and classes have numbers only)

    Raises:

        ValueError: If a file is missing or damaged, or no image was compared.
    """
    described = described or RunDescription()
    stored = StoredComparison.read(state)
    comparison = stored.comparison()
    if comparison.frame.empty:
        raise ValueError(f"{state} has no image that was compared: there is nothing to show.")
    classes, names = described.classes, list(described.names)
    # After an interruption there may be more images than names.
    names += [f"image {i}" for i in range(len(names), _n_images(stored))]
    comparison.names = names
    n_clusters = sum(_n_clusters(kept) for _, kept in stored.batches())
    images = _Images(
        comparison,
        names,
        classes,
        largest_side(_n_maps(comparison), MAP_BYTES),
        largest_side(n_clusters, CLUSTER_BYTES),
    )
    shown = [image for result, kept in stored.batches() for image in images.of(result, kept)]
    methods = [Shown(name, name in comparison.controls) for name in comparison.methods]
    n_images = comparison.frame["image"].nunique()
    return Report(
        title=f"{counted(len(methods), 'method')} on {counted(n_images, 'image')}",
        facts=_facts(stored, described, n_images),
        summary=_summary(comparison),
        left_out=described.left_out + comparison.left_out(),
        remarks=_remarks(shown, images),
        methods=methods,
        numbers=[Number(name, way, True) for name, way in comparison.directions.items()],
        classes={
            number: _class_name(classes, number)
            for image in shown
            for number in (image.label, image.prediction)
            if number is not None
        },
        images=shown,
    )


@dataclass
class _Images:
    """Makes the images of a page, and notes whether it shrank their maps."""

    comparison: Comparison
    names: list[str]
    classes: dict[int, str]
    side: int
    side_of_clusters: int
    has_reduced: bool = False
    has_reduced_clusters: bool = False

    def of(self, result: BatchResult, pictures: Pictures) -> list[ShownImage]:
        """Return the images of a batch."""
        return [self._of(i, result, pictures) for i in range(len(result.images))]

    def _of(self, i: int, result: BatchResult, pictures: Pictures) -> ShownImage:
        image = result.images[i]
        picture, height, width = (
            (None, 0, 0) if pictures.images is None else packed_picture(pictures.images[i])
        )
        mask = None if pictures.masks is None else packed_mask(pictures.masks[i])
        number = image["image"]
        maps = [] if picture is None else self._maps(i, number, result, pictures)
        clusters = [] if picture is None else self._clusters(i, pictures)
        return ShownImage(
            name=self.names[number or 0],
            facts=self._facts(image),
            label=image["label"],
            prediction=image["prediction"],
            height=height,
            width=width,
            picture=picture,
            mask=mask,
            maps=maps,
            values=[
                [_value(result, method, metric, i) for method in self.comparison.methods]
                for metric in self.comparison.directions
            ],
            clusters=clusters,
        )

    def _maps(
        self, i: int, number: int | None, result: BatchResult, pictures: Pictures
    ) -> list[Map | Failed]:
        reasons = {
            failure["method"]: f"{failure['error']}: {failure['message']}"
            for failure in result.failures
            if failure["image"] == number and not failure["metric"]
        }
        found: list[Map | Failed] = []
        for method in self.comparison.methods:
            maps = pictures.maps.get(method)
            if maps is None or bool(math.isnan(maps[i].flat[0])):
                found.append(Failed(reasons.get(method, "no map")))
                continue
            self.has_reduced |= max(maps[i].shape) > self.side
            extremes = pictures.ranges[method][i]
            found.append(packed_map(maps[i], limit_of([extremes]), self.side, extremes))
        return found

    def _clusters(self, i: int, pictures: Pictures) -> list[ClusterPanel]:
        found = []
        for method in self.comparison.methods:
            kept = pictures.clusters.get(method)
            if kept is None or not kept.n_clusters[i]:
                continue
            self.has_reduced_clusters |= max(kept.maps.shape[2:]) > self.side_of_clusters
            found.append(
                packed_clusters(
                    kept.importances[i],
                    kept.sizes[i],
                    kept.maps[i],
                    kept.ranges[i],
                    side=self.side_of_clusters,
                    importance=kept.importance,
                    method=method,
                    n_clusters=int(kept.n_clusters[i]),
                    n_runs=kept.n_runs,
                )
            )
        return found

    def _facts(self, image: Mapping[str, int | None]) -> list[str]:
        label, prediction, target = (image[name] for name in ("label", "prediction", "target"))
        facts = [] if label is None else [f"true class: {self._class(label)}"]
        verdict = "" if label is None else " (right)" if label == prediction else " (wrong)"
        return [
            *facts,
            f"predicted: {self._class(prediction)}{verdict}",
            f"explained: {self._class(target)}",
        ]

    def _class(self, number: int | None) -> str:
        return _class_name(self.classes, number)


def _value(result: BatchResult, method: str, metric: str, i: int) -> float | None:
    values = result.values.get(method, {}).get(metric)
    return None if values is None else rounded(values[i])


def _class_name(classes: Mapping[int, str], number: int | None) -> str:
    found = None if number is None else classes.get(number)
    return f"class {number}" if found is None else found


def _facts(
    stored: StoredComparison, described: RunDescription, n_images: int
) -> list[tuple[str, str]]:
    settings = stored.settings
    where = "input of " if settings["attribute_to_layer_input"] else ""
    facts = {
        "Model": settings["forward_func"],
        "Layer": f"{where}{settings['layer']}",
        **described.facts,
        "Score": settings["score"],
        "Explained class": settings["target"],
        "Seed": settings["seed"],
        "Images": n_images,
    }
    if not stored.is_finished:
        facts["Not finished"] = "only the images of the finished batches are shown"
    return [(name, str(value)) for name, value in facts.items()]


def _summary(comparison: Comparison) -> Summary:
    table = comparison.summary()
    columns = {name: Column(name, way) for name, way in comparison.directions.items()}
    cells: dict[str, list[Cell]] = {method: [] for method in comparison.methods}
    for metric in columns:
        rows = table[table["metric"] == metric].set_index("method")
        for method, row in rows.iterrows():
            cells[str(method)].append(_cell(row))
    costs = comparison.costs()["seconds"]
    for method, found in cells.items():
        seconds = rounded(float(costs.get(method, math.nan)))
        found.append(Cell("-" if seconds is None else f"{seconds:.2g}", order=seconds))
    remarks = [
        "Means over the images, with 95% bootstrap intervals.",
        "Controls do not use the model's decision: a metric that a control wins is no evidence "
        "for any method.",
        "Seconds are the time of one map.",
    ]
    if comparison.reference is not None:
        remarks.insert(1, comparison.significance_note())
    tags = dict.fromkeys(comparison.controls, "control")
    if comparison.reference is not None:
        tags.setdefault(comparison.reference, "reference")
    return Summary(
        kind="Method",
        columns=[*columns.values(), Column("seconds", "lower")],
        rows=[Row(method, tags.get(method, ""), found) for method, found in cells.items()],
        remarks=remarks,
    )


def _cell(row: pd.Series) -> Cell:
    if not row["n"]:
        return Cell("-")
    star = significance(row)
    small = [] if math.isnan(row["low"]) else [f"[{row['low']:.3g}, {row['high']:.3g}]"]
    small += [f"{row['missing']} missing"] if row["missing"] else []
    return Cell(f"{row['mean']:.3g}{star}", " ".join(small), float(row["mean"]))


def _remarks(shown: list[ShownImage], images: _Images) -> list[str]:
    if all(image.picture is None for image in shown):
        return ["The images are not two-dimensional: they and their maps cannot be shown here."]
    shrunk = "{0} of more than {1} x {1} values were shrunk to that by their means."
    remarks = [
        "Methods have different units, so each map is colored relative to its own largest "
        "absolute value; its range is given below it."
    ]
    if images.has_reduced:
        remarks.append(shrunk.format("Maps", images.side))
    remarks += [
        "Pictures are stretched to their own range, from black to white.",
        "The map of a cluster is its share of its method's map."
        if any(image.clusters for image in shown)
        else "There are no clusters: only a ClusteredLayerCAM has clusters.",
    ]
    if images.has_reduced_clusters:
        remarks.append(shrunk.format("Maps of clusters", images.side_of_clusters))
    return remarks


def _n_images(stored: StoredComparison) -> int:
    return sum(result.n_images for result in stored.results)


def _n_maps(comparison: Comparison) -> int:
    return int(comparison.frame["image"].nunique()) * len(comparison.methods)


def _n_clusters(pictures: Pictures) -> int:
    return sum(int((kept.sizes > 0).sum()) for kept in pictures.clusters.values())
