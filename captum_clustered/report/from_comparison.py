"""The report of a comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]

from captum_clustered._storage.layout import RunDescription
from captum_clustered.comparison.pictures import KeptImage
from captum_clustered.comparison.result import Comparison, significance
from captum_clustered.comparison.store import BatchResult
from captum_clustered.comparison.stored import StoredComparison
from captum_clustered.report import content
from captum_clustered.report.packing import (
    CLUSTER_BYTES,
    MAP_BYTES,
    class_facts,
    counted,
    largest_side,
    packed_clusters,
    packed_map,
    packed_mask,
    packed_picture,
    packed_seen,
    rounded,
)


def compare_report(state: Path, described: RunDescription | None = None) -> content.Report:
    """
    Return the report of a folder that compare has written.

    The command compare gives names and facts; without them, images and classes have numbers only.
    Raises ValueError if a file is missing or damaged, or no image was compared.
    """
    described = described or RunDescription()
    stored = StoredComparison.read(state)
    comparison = stored.comparison()
    if comparison.frame.empty:
        raise ValueError(f"{state} has no image that was compared: there is nothing to show.")
    # After an interruption there may be more images than names.
    n_named, n_stored = len(described.names), sum(result.n_images for result in stored.results)
    comparison.names = [*described.names, *(f"image {i}" for i in range(n_named, n_stored))]
    comparison.classes = described.classes
    n_images = comparison.frame["image"].nunique()
    n_clusters = sum(
        int((kept.sizes > 0).sum())
        for _, pictures in stored.batches()
        for image in pictures.images
        for kept in image.clusters.values()
    )
    images = _Images(
        comparison,
        largest_side(n_images * len(comparison.methods), MAP_BYTES),
        largest_side(n_clusters, CLUSTER_BYTES),
    )
    shown = [
        images.of(i, result, pictures.images[i] if pictures.images else None)
        for result, pictures in stored.batches()
        for i in range(len(result.images))
    ]
    methods = [content.Shown(name, name in comparison.controls) for name in comparison.methods]
    return content.Report(
        title=f"{counted(len(methods), 'method')} on {counted(n_images, 'image')}",
        facts=_facts(stored, described, n_images),
        summary=_summary(comparison),
        left_out=described.left_out + comparison.left_out(),
        remarks=_remarks(shown, images),
        methods=methods,
        numbers=[content.Number(name, by_method=True) for name in comparison.directions],
        classes={
            number: comparison.class_name(number)
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
    side: int
    side_of_clusters: int
    has_inputs: bool = False
    has_reduced: bool = False
    has_reduced_clusters: bool = False

    def of(self, i: int, result: BatchResult, kept: KeptImage | None) -> content.ShownImage:
        """Return the i-th image of a batch, which is kept if it is 2-D."""
        image = result.images[i]
        picture, height, width = (None, 0, 0) if kept is None else packed_picture(kept.picture)
        self.has_inputs |= kept is not None and not kept.is_original
        return content.ShownImage(
            name=self.comparison.name_of(image["image"]),
            facts=[
                *class_facts(image["label"], image["prediction"], self.comparison.class_name),
                f"explained: {self.comparison.class_name(image['target'])}",
            ],
            label=image["label"],
            prediction=image["prediction"],
            height=height,
            width=width,
            picture=picture,
            seen=packed_seen(None if kept is None else kept.seen),
            mask=None if kept is None or kept.mask is None else packed_mask(kept.mask),
            maps=[] if kept is None else self._maps(image["image"], result, kept),
            values=[
                [_value(result, method, metric, i) for method in self.comparison.methods]
                for metric in self.comparison.directions
            ],
            clusters=[] if kept is None else self._clusters(kept),
        )

    def _maps(
        self, number: int, result: BatchResult, kept: KeptImage
    ) -> list[content.Map | content.Failed]:
        reasons = {
            failure["method"]: f"{failure['error']}: {failure['message']}"
            for failure in result.failures
            if failure["image"] == number and not failure["metric"]
        }
        found: list[content.Map | content.Failed] = []
        for method in self.comparison.methods:
            if method not in kept.maps:
                found.append(content.Failed(reasons.get(method, "no map")))
                continue
            values = kept.maps[method]
            self.has_reduced |= max(values.shape) > self.side
            found.append(packed_map(values, None, self.side, kept.ranges[method]))
        return found

    def _clusters(self, image: KeptImage) -> list[content.ClusterPanel]:
        found = []
        for method in filter(image.clusters.get, self.comparison.methods):
            kept = image.clusters[method]
            self.has_reduced_clusters |= max(kept.maps.shape[1:]) > self.side_of_clusters
            found.append(packed_clusters(**vars(kept), side=self.side_of_clusters, method=method))
        return found


def _value(result: BatchResult, method: str, metric: str, i: int) -> float | None:
    values = result.values.get(method, {}).get(metric)
    return None if values is None else rounded(values[i])


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


def _summary(comparison: Comparison) -> content.Summary:
    table = comparison.summary()
    columns = {name: content.Column(name, way) for name, way in comparison.directions.items()}
    cells: dict[str, list[content.Cell]] = {method: [] for method in comparison.methods}
    for metric in columns:
        rows = table[table["metric"] == metric].set_index("method")
        for method, row in rows.iterrows():
            cells[str(method)].append(_cell(row))
    costs = comparison.costs()["seconds"]
    for method, found in cells.items():
        seconds = rounded(float(costs.get(method, math.nan)))
        found.append(content.Cell("-" if seconds is None else f"{seconds:.2g}", order=seconds))
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
    return content.Summary(
        kind="Method",
        columns=[*columns.values(), content.Column("seconds", "lower")],
        rows=[content.Row(method, tags.get(method, ""), found) for method, found in cells.items()],
        remarks=remarks,
    )


def _cell(row: pd.Series) -> content.Cell:
    if not row["n"]:
        return content.Cell("-")
    star = significance(row)
    small = [] if math.isnan(row["low"]) else [f"[{row['low']:.3g}, {row['high']:.3g}]"]
    small += [f"{row['missing']} missing"] if row["missing"] else []
    return content.Cell(f"{row['mean']:.3g}{star}", " ".join(small), float(row["mean"]))


def _remarks(shown: list[content.ShownImage], images: _Images) -> list[str]:
    if all(image.picture is None for image in shown):
        return ["The images are not two-dimensional: they and their maps cannot be shown here."]
    shrunk = "{0} of more than {1} x {1} values were shrunk to that by their means."
    remarks = [
        "Methods have different units, so each map is colored relative to its own largest "
        "absolute value; its range is given below it."
    ]
    if images.has_reduced:
        remarks.append(shrunk.format("Maps", images.side))
    if images.has_inputs:
        remarks.append("Pictures are stretched to their own range, from black to white.")
    remarks.append(
        "The map of a cluster is its share of its method's map."
        if any(image.clusters for image in shown)
        else "There are no clusters: only a ClusteredLayerCAM has clusters."
    )
    if images.has_reduced_clusters:
        remarks.append(shrunk.format("Maps of clusters", images.side_of_clusters))
    return remarks
