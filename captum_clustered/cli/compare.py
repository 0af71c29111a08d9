"""Comparing methods on a folder of images: the computation, its files and its tables."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]
import torch
from rich.console import Group
from rich.text import Text
from torch import nn

from captum_clustered._errors import UserError, as_user_error, explained, printable
from captum_clustered._storage.layout import STATE, RunDescription
from captum_clustered.cli.console import note, out, progress_bar, show
from captum_clustered.cli.tables import titled
from captum_clustered.comparison import Comparison, compare
from captum_clustered.comparison.left_out import left_out
from captum_clustered.comparison.methods import CLUSTERED, known
from captum_clustered.data.batches import ImageBatches
from captum_clustered.data.image_list import ImageList
from captum_clustered.data.preprocessing import Preprocessing
from captum_clustered.models import Model
from captum_clustered.models.choice import check_class, choose_layer
from captum_clustered.visualization.canvas import save_figure

__all__ = [
    "Choices",
    "compare_folder",
    "method_names",
    "metric_names",
    "missing_table",
]

FIGURES = ("metrics", "curves", "gallery")
ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
METRICS_PER_TABLE = 5
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Choices:
    """
    What is compared; see :func:`captum_clustered.comparison.compare`.

    Attributes:

        images (Path): Folder of images.
        masks (Path or None): Folder of masks.
        labels (Path or None): CSV file of labels.
        layer (str): The layer's name.
        layer_input (bool): Whether its input is meant.
        score (str): What is explained.
        target (str or int): "prediction", "label" or a class.
        methods (list[str] or None): Names.
        metrics (list[str] or None): Names.
        batch_size (int): Images at a time.
        seed (int): Of everything that is random.
    """

    images: Path
    masks: Path | None
    labels: Path | None
    layer: str
    layer_input: bool
    score: str
    target: str | int
    methods: list[str] | None
    metrics: list[str] | None
    batch_size: int
    seed: int


def metric_names(given: Sequence[str] | None) -> list[str] | None:
    """Names from options that may hold several, separated by commas."""
    names = [part.strip() for text in given or () for part in text.split(",")]
    return list(dict.fromkeys(filter(None, names))) or None


def method_names(given: Sequence[str] | None) -> list[str] | None:
    """As :func:`metric_names`; what follows ClusteredLayerCAM and is no name is its variant."""
    names: list[str] = []
    for text in given or ():
        # A variant belongs to a method of the same option.
        found: list[str] = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            is_variant = part not in known() and not part[0].isupper()
            if found and found[-1].startswith(CLUSTERED) and is_variant:
                found[-1] += f", {part}"
            else:
                found.append(part)
        names += found
    return list(dict.fromkeys(names)) or None


def compare_folder(
    model: Model, preprocessing: Preprocessing, choices: Choices, device: str, folder: Path
) -> list[tuple[str, str]]:
    """
    Compares, writes ``results.csv``, ``summary.md`` and figures, and prints the summary.

    Args:

        model (Model): The network, on the device.
        preprocessing (Preprocessing): The way into it.
        choices (Choices): What is compared.
        device (str): Where the network is.
        folder (Path): For the results; finished batches are kept in it, too.

    Returns:
        list[tuple[str, str]]: What is missing, and why: an image, or a method's name.

    Raises:

        UserError: If nothing can be compared.
    """
    if find_spec("tabulate") is None:
        raise UserError(
            "compare needs tabulate, which is not installed. Install captum_clustered[comparison]."
        )
    if choices.target == "label" and choices.labels is None:
        raise UserError("--target label needs --labels.")
    layer, n_classes = _check(model, preprocessing, choices)
    with as_user_error():
        images = ImageList(
            choices.images,
            transform=preprocessing,
            classes=model.categories,
            n_classes=n_classes,
            labels=choices.labels,
            masks=choices.masks,
            recursive=False,
        )
    data = ImageBatches(images, choices.batch_size)
    comparison = _compare(model, layer, choices, data, folder / STATE)
    comparison.names = data.names
    failures = data.failures + left_out(comparison, data.names)
    if comparison.frame.empty:
        raise UserError(
            f"Nothing could be compared: {'; '.join(dict.fromkeys(why for _, why in failures))}"
        )
    _show_summary(comparison)
    if comparison.frame["image"].nunique() == 1:
        note("One image says nothing about methods: there are no intervals and no tests.")
    _write(comparison, data, model, choices, folder)
    return failures


def missing_table(missing: Sequence[tuple[str, str]]) -> Group:
    """What is not in the results, and why."""
    group, table = titled("Left out", "Image or method", "Reason")
    for what, reason in missing:
        table.add_row(Text(what), Text(reason))
    return group


def _check(model: Model, preprocessing: Preprocessing, choices: Choices) -> tuple[nn.Module, int]:
    """The layer and the number of classes; whatever is wrong with them shows here."""
    inputs = torch.zeros(preprocessing.input_shape, device=model.device)
    choice = choose_layer(model, inputs, choices.layer, choices.layer_input)
    if choice.channel_dim != 1:
        raise UserError(
            f"Layer {choices.layer!r} has shape {choice.shape}, whose channels are not in "
            "dimension 1; only maps with channels in dimension 1 can be compared."
        )
    if choice.n_classes < 2:
        raise UserError(
            f"{model.name} returns a single logit; methods are compared in the probabilities of at "
            "least two classes."
        )
    if isinstance(choices.target, int):
        check_class(model, choice.n_classes, choices.target)
    return choice.module, choice.n_classes


def _compare(
    model: Model, layer: nn.Module, choices: Choices, data: ImageBatches, state: Path
) -> Comparison:
    with progress_bar() as bar, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        task = bar.add_task("Comparing", total=len(data.images))
        data.on_image = lambda: bar.advance(task)
        try:
            with explained("The methods cannot be compared"):
                comparison = compare(
                    model.module,
                    layer,
                    data,
                    choices.methods,
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
            text = str(error).replace("save_to", f"--out {printable(state)}")
            raise UserError(text.replace("the same batch size", "the same --batch-size")) from error
    texts = [str(w.message) for w in caught if w.category is UserWarning]
    for text in dict.fromkeys(texts):
        # That is shown with its reasons.
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
    # A number says little about which file it was.
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
    """What a report needs to know beyond the state."""
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
    """Means of all methods, a table for every few metrics."""
    summary = comparison.summary()
    metrics = list(comparison.directions)
    n_images = comparison.frame["image"].nunique()
    title = f"Means over {n_images} image{'s' if n_images > 1 else ''}"
    for start in range(0, len(metrics), METRICS_PER_TABLE):
        some = metrics[start : start + METRICS_PER_TABLE]
        show(_table(comparison, summary, some, title if start == 0 else ""))
    remark = "Dimmed: controls, which explain nothing."
    if comparison.reference is not None:
        remark = (
            f"* differs from {comparison.reference} (sign-flip test, Holm-corrected p < "
            f"{SIGNIFICANT}). {remark}"
        )
    out.print(Text(remark), soft_wrap=True)


def _table(
    comparison: Comparison, summary: pd.DataFrame, metrics: Sequence[str], title: str
) -> Group:
    headers = [metric + ARROWS[comparison.directions[metric]] for metric in metrics]
    group, table = titled(title, "Method", *headers, right=headers)
    columns = [summary[summary["metric"] == metric].set_index("method") for metric in metrics]
    for method in comparison.methods:
        cells = []
        for column in columns:
            row = column.loc[method]
            star = "*" if row["p_holm"] < SIGNIFICANT else ""
            cells.append(f"{row['mean']:.3g}{star}" if row["n"] else "-")
        style = "dim" if method in comparison.controls else None
        table.add_row(Text(method), *cells, style=style)
    return group if title else Group(table, "")
