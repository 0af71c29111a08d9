"""The command compare."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Union

import pandas as pd  # type: ignore[import-untyped]
import torch
import typer
from rich.console import Group
from rich.text import Text
from typer import Option

from captum_clustered._errors import UserError, as_user_error, explained, printable
from captum_clustered._storage.layout import STATE
from captum_clustered.cli.console import (
    err,
    failure_table,
    note,
    out,
    progress_bar,
    say_error,
    sentences,
    show,
    titled,
    user_warnings,
)
from captum_clustered.cli.explain import check_data, prepare_folder, say_choices
from captum_clustered.cli.options import (
    LOGIT,
    MEAN,
    DrawingOptions,
    FusionName,
    LayerInput,
    NetworkOptions,
    ResumableFolder,
    SavedClusters,
    ScoreName,
    Seed,
    Target,
    expanded,
    names_of,
    target_of,
)
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.comparison import Comparison
from captum_clustered.comparison import compare as compare_methods
from captum_clustered.comparison.methods import default_methods
from captum_clustered.comparison.result import significance
from captum_clustered.data import ImageBatches, ImageList, MaskedImages, Preprocessing
from captum_clustered.data._labels import class_list
from captum_clustered.data.registry import DATASETS, read_for_network
from captum_clustered.explain import read_clusters
from captum_clustered.models import Model
from captum_clustered.models.choice import LayerChoice, check_class, choose_layer
from captum_clustered.multi_layer_attribution import FUSIONS

# The name of the method that has the clusters of --clusters.
SAVED = "ClusteredLayerCAM (saved clusters)"
METRICS_PER_TABLE = 5

DataSet = Enum("DataSet", [(name, name) for name in DATASETS], type=str)  # type: ignore[misc]
Images = Union[ImageList, MaskedImages]


@dataclass(frozen=True)
class ImageOptions:
    """The images to compare on, their labels and masks."""

    images: Annotated[
        Path,
        Option(
            help="Folder of images, or CSV file with the column image (or file) and, optionally, "
            "label."
        ),
    ]
    masks: Annotated[
        Path | None,
        Option(
            help="Folder of masks with the names of the images, or the column of masks in the CSV "
            "file; every pixel that is not black belongs to the object."
        ),
    ] = None
    labels: Annotated[
        Path | None,
        Option(
            help="CSV file with the columns image (or file) and label (number or name of a class), "
            "for a folder of images."
        ),
    ] = None
    dataset: Annotated[
        DataSet | None,
        Option(help="Read --images as this data set, with its own labels and masks."),
    ] = None
    split: Annotated[
        str | None, Option(help="A split of the data set (default: train, if it has splits).")
    ] = None

    def listed(self, preprocessing: Preprocessing, model: Model, n_classes: int) -> Images:
        """List the images, labels and masks for a network."""
        if self.dataset is None and self.split is not None:
            raise UserError(f"--split {self.split} needs --dataset.")
        if self.dataset is None:
            return ImageList(
                self.images,
                transform=preprocessing,
                classes=model.class_names,
                n_classes=n_classes,
                labels=self.labels,
                masks=self.masks,
                recursive=False,
            )
        name = self.dataset.value
        if self.labels is not None or self.masks is not None:
            raise UserError("--dataset has its own labels and masks: omit --labels and --masks.")
        with as_user_error(f"--dataset {name}"):
            return read_for_network(
                name, self.images, self.split, preprocessing, model.class_names, n_classes
            )


@expanded
def compare(
    network: NetworkOptions,
    data: ImageOptions,
    out_dir: ResumableFolder,
    layer_input: LayerInput = False,
    fusion: FusionName = MEAN,
    score: ScoreName = LOGIT,
    target: Target = "prediction",
    methods: Annotated[
        list[str] | None,
        Option(
            help="Names of methods, separated by commas; the option may be repeated. "
            "ClusteredLayerCAM takes arguments: 'ClusteredLayerCAM(n_clusterings=10)' (default: "
            "all fast methods)."
        ),
    ] = None,
    clusters: SavedClusters = None,
    metrics: Annotated[
        list[str] | None,
        Option(help="Names of metrics, separated by commas (default: all fast metrics)."),
    ] = None,
    batch_size: Annotated[int, Option(min=1, help="Number of images in a batch.")] = 8,
    seed: Seed = 0,
    *,
    drawing: DrawingOptions,
) -> None:
    """
    Compare methods on a folder of images, by many metrics and against controls.

    Prints the means and writes results.csv, summary.md and figures to --out.
    """
    with sentences():
        on = target_of(target)
        check_data("--images", data.images)
        prepare_folder(out_dir)
        if find_spec("tabulate") is None:
            raise UserError(
                "compare needs tabulate, which is not installed. Install "
                "captum_clustered[comparison]."
            )
        model, preprocessing = network.load()
        layers = [
            _checked_layer(model, preprocessing, name, layer_input, on)
            for name in network.layers or ("",)
        ]
        layer_names = ", ".join(layer.name for layer in layers)
        say_choices(network, layer_names, preprocessing, model)
        with user_warnings(note):
            listed = data.listed(preprocessing, model, layers[0].n_classes)
        has_labels = isinstance(listed, MaskedImages) or listed.labels.count(None) < len(listed)
        if on == "label" and not has_labels:
            raise UserError("--target label needs --labels.")
        chosen: list[Any] | None = names_of(methods)
        if clusters is not None:
            chosen = [*(chosen or default_methods()), _with_clusters(clusters, layers)]
        batches = ImageBatches(listed, batch_size)
        with progress_bar() as bar, user_warnings(note):
            # The table of what was left out has the reasons.
            warnings.filterwarnings("ignore", "The comparison is not complete")
            task = bar.add_task("Comparing", total=len(listed))
            batches.on_image = lambda: bar.advance(task)
            with explained("The methods cannot be compared"):
                comparison = compare_methods(
                    model.module,
                    [layer.module for layer in layers],
                    batches,
                    chosen,
                    names_of(metrics),
                    score=score.value,
                    target=on,
                    attribute_to_layer_input=layer_input,
                    fusion=fusion.value,
                    save_to=out_dir / STATE,
                    seed=seed,
                    show_progress=False,
                )
        failures = comparison.left_out()
        if comparison.frame.empty:
            reasons = dict.fromkeys(why for _, why in failures)
            raise UserError(f"Nothing could be compared: {'; '.join(reasons)}")
        _show_summary(comparison)
        if comparison.frame["image"].nunique() == 1:
            note("One image is too few to compare methods: there are no intervals and no tests.")
        where, source = "input of " if layer_input else "", printable(data.images)
        facts = {"Model": model.name, "Layer": where + layer_names, "Folder": source}
        more = {"Fusion": FUSIONS[fusion.value].label} if len(layers) > 1 else {}
        more["Preprocessing"] = preprocessing.description
        if listed.classes:
            guess = " (a guess)" if model.class_names is None else ""
            more["Classes"] = f"{class_list(listed.classes)}{guess}"
        heading = (
            "# Comparison of class activation maps\n\n"
            f"Model {model.name}, {where}layer {layer_names}; score: {score.value}; target: {on}; "
            f"seed {seed}; images: {source}.\n\n"
        )
        heading += "".join(f"{what}: {value}.\n\n" for what, value in more.items())
        folder = printable(out_dir)
        with explained(f"The results cannot be written to {folder}"), user_warnings(note):
            written = comparison.save(out_dir, heading, facts | more, **drawing.options())
        out.print(Text(f"Wrote {', '.join(written)} to {folder}"), soft_wrap=True)
        command = f"captum-clustered report {shlex.quote(folder)}"
        out.print(Text(f"All images under all methods, in a page: {command}"), soft_wrap=True)
    if failures:
        show(failure_table(failures, "Left out", "Image or method"), err)
        names = dict.fromkeys(what for what, _ in failures)
        say_error(f"Without {', '.join(names)} the comparison is not complete.")
        raise typer.Exit(1)


def _checked_layer(
    model: Model, preprocessing: Preprocessing, name: str, at_input: bool, target: str | int
) -> LayerChoice:
    inputs = torch.zeros(preprocessing.input_shape, device=model.device)
    layer = choose_layer(model, inputs, name, at_input)
    if layer.channel_dim != 1:
        raise UserError(
            f"Layer {layer.name!r} has shape {layer.shape}; only maps with channels in dimension 1 "
            "can be compared."
        )
    if isinstance(target, int):
        check_class(model, layer.n_classes, target)
    return layer


def _with_clusters(clusters: Path, layers: Sequence[LayerChoice]) -> dict[str, Any]:
    """Return the method that has the saved clusters."""
    if len(layers) > 1:
        names = ",".join(layer.name for layer in layers)
        raise UserError(f"--clusters are those of one layer; got --layer {names}.")
    saved = read_clusters(clusters, layers[0].shape[1])
    return {SAVED: lambda score, layer: ClusteredLayerCAM(score, layer, clusterer=saved)}


def _show_summary(comparison: Comparison) -> None:
    """Print the means of all methods, with a few metrics in each table."""
    summary = comparison.summary()
    metrics = list(comparison.directions)
    n_images = comparison.frame["image"].nunique()
    title = f"Means over {n_images} image{'s' if n_images > 1 else ''}"
    for start in range(0, len(metrics), METRICS_PER_TABLE):
        some = metrics[start : start + METRICS_PER_TABLE]
        show(_table(comparison, summary, some, title if start == 0 else ""))
    remarks = [comparison.significance_note(), "Dimmed: controls, which ignore the class."]
    out.print(Text(" ".join(filter(None, remarks))), soft_wrap=True)


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
            cells.append(f"{row['mean']:.3g}{significance(row)}" if row["n"] else "-")
        style = "dim" if method in comparison.controls else None
        table.add_row(Text(method), *cells, style=style)
    return group if title else Group(table, "")
