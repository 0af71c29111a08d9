"""The command compare."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import pandas as pd  # type: ignore[import-untyped]
import torch
import typer
from rich.text import Text
from typer import Option

from captum_clustered._errors import UserError, explained, printable
from captum_clustered._storage.layout import STATE, RunDescription
from captum_clustered.cli.comparison_tables import show_summary
from captum_clustered.cli.console import (
    failure_table,
    note,
    out,
    progress_bar,
    say_error,
    sentences,
    show_error,
    user_warnings,
)
from captum_clustered.cli.explain import (
    check_data,
    prepare_folder,
    say_classes,
    say_preprocessing,
    say_usual_layer,
)
from captum_clustered.cli.images_to_compare import list_images
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
from captum_clustered.cli.originals import Original
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.comparison import Comparison
from captum_clustered.comparison import compare as compare_methods
from captum_clustered.comparison.methods import default_methods
from captum_clustered.comparison.pictures import GalleryImage
from captum_clustered.data._labels import class_list
from captum_clustered.data.base import MaskedImages
from captum_clustered.data.batches import ImageBatches
from captum_clustered.data.preprocessing import Preprocessing
from captum_clustered.data.registry import DATASETS
from captum_clustered.explain import read_clusters
from captum_clustered.models import Model
from captum_clustered.models.choice import LayerChoice, check_class, choose_layer
from captum_clustered.multi_layer_attribution import FUSIONS
from captum_clustered.visualization.canvas import save_figure

__all__ = ["compare", "compare_folder"]

FIGURES = ("metrics", "curves", "gallery")
# The name of the method that has the clusters of --clusters.
SAVED = "ClusteredLayerCAM (saved clusters)"

DataSet = Enum("DataSet", [(name, name) for name in DATASETS], type=str)  # type: ignore[misc]


@expanded
def compare(
    network: NetworkOptions,
    images: Annotated[
        Path,
        Option(
            help="Folder of images, or CSV file with the column image (or file) and, optionally, "
            "label."
        ),
    ],
    out_dir: ResumableFolder,
    masks: Annotated[
        Path | None,
        Option(
            help="Folder of masks with the names of the images, or the column of masks in the CSV "
            "file; every pixel that is not black belongs to the object."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        Option(
            help="CSV file with the columns image (or file) and label (number or name of a class), "
            "for a folder of images."
        ),
    ] = None,
    dataset: Annotated[
        DataSet | None,
        Option(help="Read --images as this data set, with its own labels and masks."),
    ] = None,
    split: Annotated[
        str | None, Option(help="A split of the data set (default: train, if it has splits).")
    ] = None,
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
    network.numbers()
    with sentences():
        on = target_of(target)
        check_data("--images", images)
        prepare_folder(out_dir)
        model, preprocessing = network.load()
        failures = compare_folder(
            model,
            preprocessing,
            out_dir,
            images=images,
            labels=labels,
            masks=masks,
            dataset=None if dataset is None else dataset.value,
            split=split,
            clusters=clusters,
            layers=network.layers,
            fusion=fusion.value,
            batch_size=batch_size,
            methods=names_of(methods),
            metrics=names_of(metrics),
            score=score.value,
            target=on,
            attribute_to_layer_input=layer_input,
            seed=seed,
            look=drawing.options(),
        )
    if failures:
        show_error(failure_table(failures, "Left out", "Image or method"))
        names = dict.fromkeys(what for what, _ in failures)
        say_error(f"Without {', '.join(names)} the comparison is not complete.")
        raise typer.Exit(1)


def compare_folder(
    model: Model,
    preprocessing: Preprocessing,
    folder: Path,
    *,
    images: Path,
    labels: Path | None = None,
    masks: Path | None = None,
    dataset: str | None = None,
    split: str | None = None,
    clusters: Path | None = None,
    layers: Sequence[str] = (),
    batch_size: int = 8,
    look: dict[str, Any] | None = None,
    **options: Any,
) -> list[tuple[str, str]]:
    """
    Compare, write ``results.csv``, ``summary.md`` and figures, and print the summary.

    Args:

        model (Model): The network.
        preprocessing (Preprocessing): How images become its input.
        folder (Path): For the results and the finished batches.
        images (Path): Folder of images.
        labels, masks, clusters (Path or None): As the options of the command.
        dataset, split (str or None): As the options of the command.
        layers (Sequence[str], optional): The names of the layers.
                    Default: () (the usual choice)
        batch_size (int, optional): Number of images in a batch.
                    Default: 8
        look (dict, optional): Of the gallery, as in :meth:`Comparison.plot`.
                    Default: None (the usual one)
        **options: Of :func:`captum_clustered.comparison.compare`.

    Returns:
        list[tuple[str, str]]: What is missing, an image or a method, and why.
    """
    if find_spec("tabulate") is None:
        raise UserError(
            "compare needs tabulate, which is not installed. Install captum_clustered[comparison]."
        )
    target = options.get("target", "prediction")
    at_input = options.get("attribute_to_layer_input", False)
    chosen = [
        _checked_layer(model, preprocessing, name, at_input, target) for name in layers or ("",)
    ]
    layer_names = ", ".join(layer.name for layer in chosen)
    say_usual_layer(layers, layer_names)
    say_preprocessing(preprocessing)
    say_classes(model)
    with user_warnings() as remarks:
        listed = list_images(
            images,
            labels,
            masks,
            dataset,
            split,
            preprocessing,
            model.class_names,
            chosen[0].n_classes,
        )
    for text in remarks():
        note(text)
    has_labels = isinstance(listed, MaskedImages) or listed.labels.count(None) < len(listed)
    if target == "label" and not has_labels:
        raise UserError("--target label needs --labels.")
    data = ImageBatches(listed, batch_size)
    if clusters is not None:
        method = _with_clusters(clusters, chosen)
        options["methods"] = [*(options.get("methods") or default_methods()), method]
    comparison = _compare(model, chosen, data, folder / STATE, options)
    comparison.names = data.names
    comparison.classes = dict(enumerate(listed.classes))
    comparison.gallery = [_on_original(item, data, preprocessing) for item in comparison.gallery]
    failures = data.failures + comparison.left_out()
    if comparison.frame.empty:
        raise UserError(
            f"Nothing could be compared: {'; '.join(dict.fromkeys(why for _, why in failures))}"
        )
    show_summary(comparison)
    if comparison.frame["image"].nunique() == 1:
        note("One image is too few to compare methods: there are no intervals and no tests.")
    where = "input of " if at_input else ""
    facts = {"Model": model.name, "Layer": f"{where}{layer_names}", "Folder": printable(images)}
    if len(chosen) > 1:
        facts["Fusion"] = FUSIONS[options.get("fusion", "mean")].label
    facts["Preprocessing"] = preprocessing.description
    if listed.classes:
        guess = " (a guess)" if model.class_names is None else ""
        facts["Classes"] = f"{class_list(listed.classes)}{guess}"
    heading = (
        f"# Comparison of class activation maps\n\nModel {model.name}, {where}layer {layer_names}; "
        f"score: {options.get('score', 'logit')}; target: {target}; seed "
        f"{options.get('seed', 0)}; images: {printable(images)}.\n\n"
        + "".join(
            f"{what}: {facts[what]}.\n\n"
            for what in ("Fusion", "Preprocessing", "Classes")
            if what in facts
        )
    )
    text = heading + comparison.to_markdown()
    if has_labels:
        text += "\n## Right and wrong predictions\n\n" + comparison.to_markdown(
            by="correct", details=False
        )
    _write(
        comparison,
        data,
        replace(model, class_names=listed.classes or None),
        facts,
        text,
        folder,
        look or {},
    )
    return failures


def _on_original(
    image: GalleryImage, data: ImageBatches, preprocessing: Preprocessing
) -> GalleryImage:
    """Show an image of the gallery as it was before preprocessing."""
    name = data.names[image.number]
    with explained(f"{name} cannot be read again"):
        index = data.images.names.index(name)
        found = Original.read(data.images, index, preprocessing)
    return replace(image, **vars(found))


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


def _compare(
    model: Model,
    layers: Sequence[LayerChoice],
    data: ImageBatches,
    state: Path,
    options: dict[str, Any],
) -> Comparison:
    with progress_bar() as bar, user_warnings() as remarks:
        task = bar.add_task("Comparing", total=len(data.images))
        data.on_image = lambda: bar.advance(task)
        try:
            with explained("The methods cannot be compared"):
                modules = [layer.module for layer in layers]
                comparison = compare_methods(
                    model.module, modules, data, save_to=state, show_progress=False, **options
                )
        except UserError as error:
            if data.failures and not data.names:
                reasons = "; ".join(dict.fromkeys(why for _, why in data.failures))
                raise UserError(f"None of the images can be compared: {reasons}") from error
            raise
    for text in remarks():
        # The table of what was left out has the reasons.
        if not text.startswith("The comparison is not complete"):
            note(text)
    return comparison


def _write(
    comparison: Comparison,
    data: ImageBatches,
    model: Model,
    facts: dict[str, str],
    text: str,
    folder: Path,
    look: dict[str, Any],
) -> None:
    frame = comparison.frame.copy()
    frame.insert(1, "file", [data.names[number] for number in frame["image"]])
    numbers = pd.concat([frame[name] for name in ("label", "prediction", "target")])
    classes = {int(i): model.class_name(int(i)) for i in numbers.dropna().unique()}
    with explained(f"The results cannot be written to {printable(folder)}"):
        (folder / "summary.md").write_text(text, encoding="utf-8")
        # What a report needs beyond the stored comparison.
        RunDescription(facts, data.names, data.failures, classes).save(folder)
        frame.to_csv(folder / "results.csv", index=False)
        written = ["results.csv", "summary.md"]
        for kind in FIGURES:
            try:
                figure = comparison.plot(kind, **(look if kind == "gallery" else {}))
            except ValueError as error:
                note(f"{kind}.png is left out: {error}")
                continue
            save_figure(figure, folder / f"{kind}.png")
            written.append(f"{kind}.png")
    out.print(Text(f"Wrote {', '.join(written)} to {printable(folder)}"), soft_wrap=True)
    command = f"captum-clustered report {shlex.quote(printable(folder))}"
    out.print(Text(f"All images under all methods, in a page: {command}"), soft_wrap=True)
