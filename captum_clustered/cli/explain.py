"""The command explain."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image
from rich.console import Group
from rich.text import Text
from typer import Argument, Option

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._errors import UserError, as_user_error, explained, one_line, printable
from captum_clustered._storage.layout import LEFT_OUT
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
from captum_clustered.cli.options import (
    MEAN,
    DrawingOptions,
    FusionName,
    MethodOptions,
    NetworkOptions,
    OutFolder,
    expanded,
)
from captum_clustered.clusters import order_clusters
from captum_clustered.data._labels import class_list
from captum_clustered.data.dicom import frames_of, split_frame
from captum_clustered.data.preprocessing import Preprocessing
from captum_clustered.data.volumes import dicom_files
from captum_clustered.explain import Explanation, ImageExplainer
from captum_clustered.explain.explainer import ImageSource
from captum_clustered.models import Model
from captum_clustered.scores import SCORES

NIFTI = (".nii", ".nii.gz")
# Rows of the table of clusters; the file has all of them.
MAX_CLUSTERS = 20


@expanded
def explain(
    images: Annotated[
        list[Path],
        Argument(
            help="Image files. A DICOM file gives all of its frames, or one: clip.dcm#3. For a "
            "network of volumes: scan.nii.gz, or the folder of a DICOM series."
        ),
    ],
    network: NetworkOptions,
    out_dir: OutFolder,
    method: MethodOptions,
    drawing: DrawingOptions,
    target: Annotated[
        int | None, Option(help="The class to explain (default: the predicted one).")
    ] = None,
    multi_label: Annotated[
        bool,
        Option(
            "--multi-label",
            help="Classes do not exclude each other: show the sigmoid of each, and explain each "
            "finding, a class of at least 50 %.",
        ),
    ] = False,
    fusion: FusionName = MEAN,
    own_scales: Annotated[
        bool,
        Option("--own-scales", help="Draw each method's map relative to its own largest value."),
    ] = False,
) -> None:
    """
    Explain what a network sees in images or volumes.

    For each image, a figure (.png) and the arrays (.npz) are written to --out. For a volume,
    -attribution.nii.gz opens over it in any viewer.
    """
    with sentences():
        settings = replace(
            method.settings(network.layers, target), multi_label=multi_label, fusion=fusion.value
        )
        # What the network takes is not known yet.
        problems = [
            _problem(path, takes_volumes=path.is_dir() and bool(dicom_files(path)))
            for path in images
        ]
        if all(problems):
            raise UserError(" ".join(dict.fromkeys(filter(None, problems))))
        prepare_folder(out_dir)
        explainer = network.explainer(settings)
        say_choices(
            network, explainer.settings.layer_names, explainer.preprocessing, explainer.model
        )
        figure = drawing.options() | {"scale": "own" if own_scales else "shared"}
        failures = _explain_all(explainer, images, out_dir, figure)
        with explained(f"{printable(out_dir)} cannot be written to"):
            # It may be there from an earlier run.
            (out_dir / LEFT_OUT).unlink(missing_ok=True)
            if failures:
                (out_dir / LEFT_OUT).write_text(json.dumps(failures), encoding="utf-8")
    if failures:
        raise typer.Exit(1)


def _problem(image: Path, takes_volumes: bool) -> str | None:
    """Return why a path cannot be explained, if that is known without reading it."""
    file, _ = split_frame(image)
    if file.is_dir() and not takes_volumes:
        folder = printable(file)
        return f"{folder} is a folder; `captum-clustered run --data {folder}` explains its images."
    return None if file.exists() else f"There is no file {printable(image)}."


def _check_file(image: Path, takes_volumes: bool) -> None:
    if problem := _problem(image, takes_volumes):
        raise UserError(problem)
    if not takes_volumes and image.name.lower().endswith(NIFTI):
        raise UserError(f"{printable(image)} is a volume, and the network takes images.")


def say_choices(
    network: NetworkOptions, layers: str, preprocessing: Preprocessing, model: Model
) -> None:
    """Print what the options left open: the layer, what is done to an image and the classes."""
    if not network.layers:
        note(f"Using --layer {layers}, the usual choice for this model.")
    hint = ""
    if preprocessing.guesses:
        options = ", ".join(f"--{name}" for name in preprocessing.guesses)
        hint = f" Give {options}, or let the factory return (model, transform)."
    note(f"Preprocessing: {preprocessing.description}.{hint}")
    if model.class_names is not None:
        note(f"Classes: {class_list(model.class_names)}.")


def check_data(option: str, data: Path) -> None:
    """Fail before a model is loaded if the images of a command are not there."""
    if not data.exists():
        raise UserError(f"{option}: There is no folder or table {printable(data)}.")


def prepare_folder(folder: Path) -> None:
    """Make the folder of --out, or fail before a long computation begins."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"--out {printable(folder)} must be a folder; it is a file.") from None
    except OSError as error:
        raise UserError(
            f"The folder --out {printable(folder)} cannot be created: "
            f"{error.strerror or one_line(error)}."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"The folder --out {printable(folder)} cannot be written to.")


def explain_image(
    explainer: ImageExplainer,
    image: ImageSource,
    title: str,
    stem: Path,
    target: int | None = None,
    **figure: Any,
) -> Explanation:
    """
    Explain an image, write ``<stem>.png`` and ``<stem>.npz`` and print its tables.

    Of a volume, write ``<stem>-attribution.nii.gz``, too.

    ``figure`` are options of :func:`draw_explanation`.
    """
    from captum_clustered.visualization import draw_explanation
    from captum_clustered.visualization.canvas import save_figure

    source, original = image, None
    if not explainer.model.takes_volumes:
        original = image if isinstance(image, Image.Image) else None
        with explained(f"{title} cannot be prepared for the network"):
            source = explainer.prepare(image)
    with explained(f"{explainer.model.name} cannot be explained"):
        explanation = explainer(source, title, target, original)
    # Not with_suffix: names may have dots.
    figure_path, array_path = (stem.with_name(stem.name + end) for end in (".png", ".npz"))
    with explained(f"{printable(figure_path)} cannot be written"):
        save_figure(draw_explanation(explanation, **figure), figure_path)
    with explained(f"{printable(array_path)} cannot be written"):
        explanation.save(array_path)
    written = [figure_path, array_path]
    if explanation.affine is not None:
        # Not the name of the scan, which may be in this folder.
        written.append(stem.with_name(f"{stem.name}-attribution.nii.gz"))
        with explained(f"{printable(written[-1])} cannot be written"):
            explanation.save_nifti(written[-1])
    out.rule(Text(title), style="dim")
    show(_class_table(explanation))
    show(_cluster_table(explanation))
    *first, last = map(printable, written)
    out.print(Text(f"Wrote {', '.join(first)} and {last}"), soft_wrap=True)
    return explanation


def _explain_all(
    explainer: ImageExplainer, images: Sequence[Path], out_dir: Path, figure: dict[str, Any]
) -> list[tuple[str, str]]:
    """Explain each image and return those that failed, which do not stop the others."""
    takes_volumes = explainer.model.takes_volumes
    if not takes_volumes:
        images = [frame for path in images for frame in frames_of(path)]
    failures: list[tuple[str, str]] = []
    # A remark that holds for all images is printed once.
    notes: dict[str, None] = {}
    with progress_bar(needed=len(images) > 1) as bar:
        task = bar.add_task("Explaining", total=len(images))
        for path, name in zip(images, _output_names(images), strict=True):
            title = printable(path)
            try:
                with as_user_error(), user_warnings(notes.setdefault):
                    _check_file(path, takes_volumes)
                    image = explainer.preprocessing.read(path)
                for target, stem in _targets(explainer, image, title, out_dir / name):
                    found = explain_image(explainer, image, title, stem, target, **figure)
                    notes |= dict.fromkeys(found.notes)
            except UserError as error:
                failures.append((title, str(error)))
            bar.advance(task)
    for text in notes:
        note(text)
    if len(images) == 1:
        for _, reason in failures:
            say_error(reason)
    elif failures:
        show(failure_table(failures), err)
        say_error(f"{len(failures)} of {len(images)} images failed.")
    return failures


def _targets(
    explainer: ImageExplainer, image: ImageSource, title: str, stem: Path
) -> list[tuple[int | None, Path]]:
    """Return the classes to explain, each with the stem of its files; None is the usual one."""
    if not explainer.settings.multi_label or explainer.settings.target is not None:
        return [(None, stem)]
    with explained(f"{explainer.model.name} cannot be explained"):
        findings = explainer.findings(image)
    if not findings:
        note(f"{title}: no class reaches 50 %; the most probable one is explained.")
        return [(None, stem)]
    return [(index, stem.with_name(f"{stem.name}-class{index}")) for index in findings]


def _output_names(images: Iterable[Path]) -> list[str]:
    """
    Return a name for each image's files.

    It is the file's stem, with the number of the frame if it is one, and numbered where it is
    taken.
    """
    taken: set[str] = set()
    names = []
    for image in images:
        file, frame = split_frame(image)
        # A folder may be given as "." and a volume may end with two suffixes.
        stem = file.absolute().name if file.is_dir() else file.stem.removesuffix(".nii")
        stem = stem if frame is None else f"{stem}-frame{frame}"
        name, n = stem, 1
        # Some file systems do not tell cases apart.
        while name.casefold() in taken:
            n += 1
            name = f"{stem}-{n}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _class_table(explanation: Explanation) -> Group:
    """Return the most probable classes, and the explained one if it is not among them."""
    group, table = titled(
        "Most probable findings, each by itself"
        if explanation.settings.multi_label
        else "Most probable classes",
        "Class",
        "Index",
        "Probability",
        "",
        right=("Index", "Probability"),
    )
    for index in explanation.top_classes():
        is_target = index == explanation.target
        table.add_row(
            Text(explanation.class_name(index)),
            str(index),
            f"{explanation.probabilities[index]:.2%}",
            "explained" if is_target else "finding" if index in explanation.findings else "",
            style="bold" if is_target else None,
        )
    return group


def _cluster_table(explanation: Explanation) -> Group:
    """Return each cluster's channels and importance."""
    settings = explanation.settings
    title = (
        f"Clusters of channels: {SCORES[settings.score].label} {explanation.score:.4g}, "
        f"{explanation.baseline_score:.4g} without the whole layer"
    )
    importance = IMPORTANCES[settings.importance].label
    columns = ("Cluster", "Channels", importance[0].upper() + importance[1:])
    group, table = titled(title, *columns, right=columns)
    shown = order_clusters(explanation.importances, explanation.sizes, MAX_CLUSTERS)
    for j in shown:
        size, value = int(explanation.sizes[j]), float(explanation.importances[j])
        table.add_row(str(j), str(size), f"{value:+.4g}")
    others = sorted(set(explanation.by_importance()) - set(shown))
    if others:
        size, value = int(explanation.sizes[others].sum()), explanation.importances[others].sum()
        table.add_row(f"{len(others)} others", str(size), f"{value:+.4g}", style="dim")
    return group
