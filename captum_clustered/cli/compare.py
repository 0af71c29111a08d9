"""The command compare."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import pandas as pd  # type: ignore[import-untyped]
import torch
import typer
from rich.console import Group
from rich.text import Text

from captum_clustered._errors import UserError, explained, printable
from captum_clustered._storage.layout import STATE, RunDescription
from captum_clustered.cli.console import (
    failure_table,
    note,
    out,
    progress_bar,
    say_error,
    sentences,
    show,
    show_error,
    titled,
)
from captum_clustered.cli.explain import prepare_folder, say_usual_layer
from captum_clustered.cli.options import (
    LOGIT,
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
from captum_clustered.data.batches import ImageBatches
from captum_clustered.data.image_list import ImageList
from captum_clustered.data.preprocessing import Preprocessing
from captum_clustered.explain import read_clusters
from captum_clustered.models import Model
from captum_clustered.models.choice import LayerChoice, check_class, choose_layer
from captum_clustered.visualization.canvas import save_figure

__all__ = ["Choices", "compare", "compare_folder"]

FIGURES = ("metrics", "curves", "gallery")
METRICS_PER_TABLE = 5
# The name of the method that has the clusters of --clusters.
SAVED = "ClusteredLayerCAM (saved clusters)"


@expanded
def compare(
    network: NetworkOptions,
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    out_dir: ResumableFolder,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of masks with the names of the images; every pixel that is not black "
            "belongs to the object.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with the columns file and label (number or name of a class).",
            show_default=False,
        ),
    ] = None,
    layer_input: LayerInput = False,
    score: ScoreName = LOGIT,
    target: Target = "prediction",
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Names of methods, separated by commas; the option may be repeated. "
            "ClusteredLayerCAM takes arguments: 'ClusteredLayerCAM(n_clusterings=10)' (default: "
            "all fast methods).",
            show_default=False,
        ),
    ] = None,
    clusters: SavedClusters = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            help="Names of metrics, as --methods (default: all fast ones).", show_default=False
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of images in a batch.")] = 8,
    seed: Seed = 0,
) -> None:
    """
    Compare methods on a folder of images, by many metrics and against controls.

    Prints the means and writes results.csv, summary.md and figures to --out.
    """
    network.numbers()
    with sentences():
        choices = Choices(
            images=images,
            masks=masks,
            labels=labels,
            layer=network.layer,
            layer_input=layer_input,
            score=score.value,
            target=target_of(target),
            methods=names_of(methods),
            metrics=names_of(metrics),
            batch_size=batch_size,
            seed=seed,
            clusters=clusters,
        )
        prepare_folder(out_dir)
        model, preprocessing = network.load()
        failures = compare_folder(model, preprocessing, choices, out_dir)
    if failures:
        show_error(failure_table(failures, "Left out", "Image or method"))
        names = dict.fromkeys(what for what, _ in failures)
        say_error(f"Without {', '.join(names)} the comparison is not complete.")
        raise typer.Exit(1)


@dataclass(frozen=True)
class Choices:
    """
    What is compared; see :func:`captum_clustered.comparison.compare`.

    Attributes:

        images (Path): Folder of images.
        layer (str): The layer's name; empty for the usual choice.
        masks (Path or None): Folder of masks.
        labels (Path or None): CSV file of labels.
        layer_input (bool): Whether the layer's input is attributed to.
        score (str): The score that is explained.
        target (str or int): "prediction", "label" or a class.
        methods (list[str] or None): Names.
        metrics (list[str] or None): Names.
        batch_size (int): Number of images in a batch.
        seed (int): Seed of all random numbers.
        clusters (Path or None): Saved clusters for one more method.
    """

    images: Path
    layer: str = ""
    masks: Path | None = None
    labels: Path | None = None
    layer_input: bool = False
    score: str = "logit"
    target: str | int = "prediction"
    methods: list[str] | None = None
    metrics: list[str] | None = None
    batch_size: int = 8
    seed: int = 0
    clusters: Path | None = None


def compare_folder(
    model: Model, preprocessing: Preprocessing, choices: Choices, folder: Path
) -> list[tuple[str, str]]:
    """
    Compare, write ``results.csv``, ``summary.md`` and figures, and print the summary.

    Args:

        model (Model): The network.
        preprocessing (Preprocessing): How images become its input.
        choices (Choices): What is compared.
        folder (Path): For the results and the finished batches.

    Returns:
        list[tuple[str, str]]: What is missing, an image or a method, and why.

    Raises:

        UserError, ValueError, OSError, ImportError: If nothing can be compared.
    """
    if find_spec("tabulate") is None:
        raise UserError(
            "compare needs tabulate, which is not installed. Install captum_clustered[comparison]."
        )
    if choices.target == "label" and choices.labels is None:
        raise UserError("--target label needs --labels.")
    layer = _checked_layer(model, preprocessing, choices)
    say_usual_layer(choices.layer, layer.name)
    choices = replace(choices, layer=layer.name)
    images = ImageList(
        choices.images,
        transform=preprocessing,
        classes=model.categories,
        n_classes=layer.n_classes,
        labels=choices.labels,
        masks=choices.masks,
        recursive=False,
    )
    data = ImageBatches(images, choices.batch_size)
    comparison = _compare(model, layer, choices, data, folder / STATE)
    comparison.names = data.names
    failures = data.failures + comparison.left_out()
    if comparison.frame.empty:
        raise UserError(
            f"Nothing could be compared: {'; '.join(dict.fromkeys(why for _, why in failures))}"
        )
    _show_summary(comparison)
    if comparison.frame["image"].nunique() == 1:
        note("One image is too few to compare methods: there are no intervals and no tests.")
    _write(comparison, data, model, choices, folder)
    return failures


def _checked_layer(model: Model, preprocessing: Preprocessing, choices: Choices) -> LayerChoice:
    inputs = torch.zeros(preprocessing.input_shape, device=model.device)
    layer = choose_layer(model, inputs, choices.layer, choices.layer_input)
    if layer.channel_dim != 1:
        raise UserError(
            f"Layer {layer.name!r} has shape {layer.shape}; only maps with channels in dimension 1 "
            "can be compared."
        )
    if layer.n_classes < 2:
        raise UserError(
            f"{model.name} returns a single logit; methods are compared in the probabilities of at "
            "least two classes."
        )
    if isinstance(choices.target, int):
        check_class(model, layer.n_classes, choices.target)
    return layer


def _methods(choices: Choices, n_channels: int) -> list[Any] | None:
    if choices.clusters is None:
        return list(choices.methods) if choices.methods else None
    labels = read_clusters(choices.clusters, n_channels)
    saved = {SAVED: lambda score, layer: ClusteredLayerCAM(score, layer, clusterer=labels)}
    return [*(choices.methods or default_methods()), saved]


def _compare(
    model: Model, layer: LayerChoice, choices: Choices, data: ImageBatches, state: Path
) -> Comparison:
    with progress_bar() as bar, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        task = bar.add_task("Comparing", total=len(data.images))
        data.on_image = lambda: bar.advance(task)
        try:
            with explained("The methods cannot be compared"):
                comparison = compare_methods(
                    model.module,
                    layer.module,
                    data,
                    _methods(choices, layer.shape[1]),
                    choices.metrics,
                    score=choices.score,
                    target=choices.target,
                    attribute_to_layer_input=choices.layer_input,
                    save_to=state,
                    seed=choices.seed,
                    show_progress=False,
                )
        except UserError as error:
            if data.failures and not data.names:
                reasons = "; ".join(dict.fromkeys(why for _, why in data.failures))
                raise UserError(f"None of the images can be compared: {reasons}") from error
            raise
    for text in dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning):
        # The table of what was left out has the reasons.
        if not text.startswith("The comparison is not complete"):
            note(text)
    return comparison


def _write(
    comparison: Comparison, data: ImageBatches, model: Model, choices: Choices, folder: Path
) -> None:
    where = "input of layer" if choices.layer_input else "layer"
    heading = (
        f"# Comparison of class activation maps\n\nModel {model.name}, {where} {choices.layer}; "
        f"score: {choices.score}; target: {choices.target}; seed {choices.seed}; images: "
        f"{printable(choices.images)}.\n\n"
    )
    text = heading + comparison.to_markdown()
    if choices.labels is not None:
        text += "\n## Right and wrong predictions\n\n" + comparison.to_markdown(
            by="correct", details=False
        )
    frame = comparison.frame.copy()
    frame.insert(1, "file", [data.names[number] for number in frame["image"]])
    with explained(f"The results cannot be written to {printable(folder)}"):
        (folder / "summary.md").write_text(text, encoding="utf-8")
        _described(comparison, data, model, choices).save(folder)
        frame.to_csv(folder / "results.csv", index=False)
        written = ["results.csv", "summary.md"]
        for kind in FIGURES:
            try:
                figure = comparison.plot(kind)
            except ValueError as error:
                note(f"{kind}.png is left out: {error}")
                continue
            save_figure(figure, folder / f"{kind}.png")
            written.append(f"{kind}.png")
    out.print(Text(f"Wrote {', '.join(written)} to {printable(folder)}"), soft_wrap=True)
    command = f"captum-clustered report {shlex.quote(printable(folder))}"
    out.print(Text(f"All images under all methods, in a page: {command}"), soft_wrap=True)


def _described(
    comparison: Comparison, data: ImageBatches, model: Model, choices: Choices
) -> RunDescription:
    """Return what a report needs beyond the stored comparison."""
    frame = comparison.frame
    numbers = pd.concat([frame[name] for name in ("label", "prediction", "target")])
    where = "input of " if choices.layer_input else ""
    return RunDescription(
        facts={
            "Model": model.name,
            "Layer": f"{where}{choices.layer}",
            "Folder": printable(choices.images),
        },
        names=data.names,
        left_out=data.failures,
        classes={int(i): model.class_name(int(i)) for i in numbers.dropna().unique()},
    )


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
