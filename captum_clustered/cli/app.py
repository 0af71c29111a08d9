"""The commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from captum_clustered import __version__
from captum_clustered._errors import UserError, as_user_error, explained, one_line, printable
from captum_clustered.cli.choices import ABLATION, DENSITY, LOGIT, Importance, Scaling, Score
from captum_clustered.cli.console import (
    note,
    out,
    progress_bar,
    say_error,
    show,
    show_error,
)

if TYPE_CHECKING:
    from captum_clustered.explain import ImageExplainer

# What needs torchvision or matplotlib is imported by the commands, so that --help is fast.

app = typer.Typer(
    help="Class activation maps from clusters of channels (Clustered-CAM).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Resolution(str, Enum):
    """Choices of --resolution."""

    layer = "layer"
    input = "input"


class EngineName(str, Enum):
    """Choices of --engine."""

    local = "local"
    ray = "ray"


ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        help="A torchvision classification model, timm:name, or package.module:factory, a function "
        "without arguments that returns a torch.nn.Module.",
    ),
]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command()
def explain(
    images: Annotated[list[Path], typer.Argument(help="Image files.", show_default=False)],
    model: ModelName,
    layer: Annotated[str, typer.Option(help="The layer's name; see the command layers.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    weights: Annotated[
        str | None,
        typer.Option(
            help="Name of torchvision weights (default: DEFAULT), or file of a state dict: .pt, "
            ".pth, .safetensors.",
            show_default=False,
        ),
    ] = None,
    layer_input: Annotated[
        bool, typer.Option("--layer-input", help="Explain by the layer's input, not its output.")
    ] = False,
    target: Annotated[
        int | None,
        typer.Option(help="Class to explain (default: the predicted one).", show_default=False),
    ] = None,
    n_clusters: Annotated[int, typer.Option(min=1, help="Number of clusters.")] = 10,
    scaling: Annotated[Scaling, typer.Option(help="How drops become a map.")] = DENSITY,
    importance: Annotated[Importance, typer.Option(help="How clusters are weighed.")] = ABLATION,
    n_clusterings: Annotated[
        int, typer.Option(min=1, help="Number of clusterings to average.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the clustering.")] = 0,
    channel_dim: Annotated[
        int, typer.Option(help="The layer's dimension of channels; -1 for transformers.")
    ] = 1,
    score: Annotated[Score, typer.Option(help="What drops are measured in.")] = LOGIT,
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Input size (default: the weights' own, or 224).", show_default=False
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="1 or 3 numbers, on a scale of 0 to 1 (default: the weights' own, or ImageNet's).",
            show_default=False,
        ),
    ] = None,
    std: Annotated[str | None, typer.Option(help="As --mean.", show_default=False)] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, ...")] = "cpu",
) -> None:
    """
    Explain what a network sees in images.

    For each image, a figure (.png) and the raw arrays (.npz) are written to --out.
    """
    means, stds = _numbers(mean, "--mean"), _numbers(std, "--std")
    with _sentences():
        from captum_clustered.cli.outputs import prepare_folder, save_left_out
        from captum_clustered.data.preprocessing import make_preprocessing
        from captum_clustered.explain import ExplainerSettings, ImageExplainer
        from captum_clustered.models import load_model

        settings = ExplainerSettings(
            layer=layer,
            layer_input=layer_input,
            target=target,
            n_clusters=n_clusters,
            scaling=scaling.value,
            importance=importance.value,
            n_clusterings=n_clusterings,
            seed=seed,
            channel_dim=channel_dim,
            score=score.value,
        )
        prepare_folder(out_dir)
        network = load_model(model, weights, device)
        preprocessing = make_preprocessing(network.preset, network.n_channels, size, means, stds)
        explainer = ImageExplainer(network, settings, preprocessing)
        failures = _explain_all(explainer, images, out_dir)
        with explained(f"{printable(out_dir)} cannot be written to"):
            save_left_out(out_dir, failures)
    if failures:
        raise typer.Exit(1)


@app.command()
def layers(
    model: ModelName,
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Input size (default: the model's own, or 224).", show_default=False
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also layers nested deeper than two levels.")
    ] = False,
) -> None:
    """
    List the layers of a model that can be shown as a map.

    Nothing is downloaded: shapes do not depend on weights.
    """
    with _sentences():
        import torch

        from captum_clustered.cli.tables import layer_table
        from captum_clustered.data.preprocessing import make_preprocessing
        from captum_clustered.models import list_layers, load_skeleton

        network = load_skeleton(model)
        # Vision transformers are built for one size of input.
        size = size or getattr(network.module, "image_size", None)
        preprocessing = make_preprocessing(network.preset, network.n_channels, size)
        inputs = torch.zeros(preprocessing.input_shape, device=network.device)
        rows = list_layers(network, inputs, everything)
        if not rows:
            raise UserError(
                f"{model} has no layer that is a spatial map"
                f"{'' if everything else ' in its upper two levels; try --all'}."
            )
        show(layer_table(rows, network, preprocessing.size))


@app.command()
def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path(
        "out/demo"
    ),
) -> None:
    """
    Show the method at work, offline: an ImageNet network on two photographs.

    Writes and prints what explain does, then how stable and faithful the maps are.
    """
    with _sentences():
        from captum_clustered.cli.demo import (
            MEAN,
            PICTURES,
            SETTINGS,
            STD,
            Quality,
            demo_model,
            measure,
            pictures,
            quality_table,
        )
        from captum_clustered.cli.explain_image import explain_image
        from captum_clustered.cli.outputs import prepare_folder
        from captum_clustered.data.preprocessing import make_preprocessing
        from captum_clustered.explain import ImageExplainer

        prepare_folder(out_dir)
        network = demo_model()
        preprocessing = make_preprocessing(None, mean=MEAN, std=STD)
        results: dict[str, dict[str, Quality]] = {}
        with progress_bar() as bar:
            task = bar.add_task("Explaining and measuring", total=len(PICTURES))
            for name, image in pictures().items():
                settings = replace(SETTINGS, target=PICTURES[name])
                explainer = ImageExplainer(network, settings, preprocessing)
                stem = out_dir / Path(name).stem
                _, inputs = explain_image(explainer, image, name, stem)
                results[name] = measure(explainer, inputs, PICTURES[name])
                bar.advance(task)
        show(quality_table(results))


@app.command()
def compare(
    model: ModelName,
    layer: Annotated[str, typer.Option(help="The layer's name; see the command layers.")],
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    out_dir: Annotated[
        Path,
        typer.Option("--out", help="Folder for the results; started again, a run goes on there."),
    ],
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of masks, named as the images; what is not black is the object.",
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
    weights: Annotated[str | None, typer.Option(help="As in explain.", show_default=False)] = None,
    layer_input: Annotated[
        bool, typer.Option("--layer-input", help="Explain by the layer's input, not its output.")
    ] = False,
    score: Annotated[Score, typer.Option(help="What is explained.")] = LOGIT,
    target: Annotated[
        str, typer.Option(help="Class to explain: prediction, label or a number.")
    ] = "prediction",
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Names, separated by commas, or the option again (default: all fast ones).",
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="As --methods (default: all fast ones).", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all that is random.")] = 0,
    size: Annotated[
        int | None, typer.Option(min=1, help="As in explain.", show_default=False)
    ] = None,
    mean: Annotated[str | None, typer.Option(help="As in explain.", show_default=False)] = None,
    std: Annotated[str | None, typer.Option(help="As in explain.", show_default=False)] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, ...")] = "cpu",
) -> None:
    """
    Compare methods on a folder of images, by many metrics and against controls.

    Prints the means and writes results.csv, summary.md and figures to --out.
    """
    means, stds = _numbers(mean, "--mean"), _numbers(std, "--std")
    with _sentences():
        try:
            from captum_clustered.cli.compare import (
                Choices,
                compare_folder,
                method_names,
                metric_names,
                missing_table,
            )
        except ModuleNotFoundError as error:
            raise UserError(str(error)) from error
        from captum_clustered.cli.outputs import prepare_folder
        from captum_clustered.cli.targets import target_of
        from captum_clustered.data.preprocessing import make_preprocessing
        from captum_clustered.models import load_model

        choices = Choices(
            images=images,
            masks=masks,
            labels=labels,
            layer=layer,
            layer_input=layer_input,
            score=score.value,
            target=target_of(target),
            methods=method_names(methods),
            metrics=metric_names(metrics),
            batch_size=batch_size,
            seed=seed,
        )
        prepare_folder(out_dir)
        network = load_model(model, weights, device)
        preprocessing = make_preprocessing(network.preset, network.n_channels, size, means, stds)
        failures = compare_folder(network, preprocessing, choices, device, out_dir)
    if failures:
        show_error(missing_table(failures))
        names = dict.fromkeys(what for what, _ in failures)
        say_error(f"Without {', '.join(names)} the comparison is not complete.")
        raise typer.Exit(1)


@app.command()
def report(
    run_dir: Annotated[
        Path, typer.Argument(help="What --out of compare or explain was.", show_default=False)
    ],
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out", help="HTML file (default: report.html in RUN_DIR).", show_default=False
        ),
    ] = None,
) -> None:
    """
    Show a run of compare or explain as one HTML page.

    The page holds the images and needs nothing but a browser.
    """
    with _sentences():
        try:
            from captum_clustered.report import write_report

            path = write_report(run_dir, out_file)
        except ImportError as error:
            raise UserError(str(error)) from error
        except ValueError as error:
            raise UserError(str(error).replace("run_dir=", "RUN_DIR ")) from error
        except OSError as error:
            raise UserError(f"The report cannot be written: {one_line(error)}") from error
        size = path.stat().st_size / 1e6
        out.print(Text(f"Wrote {printable(path)} ({size:.1f} MB)"), soft_wrap=True)


@app.command()
def run(
    data: Annotated[
        Path,
        typer.Option(
            help="Folder of images, with all folders in it, or CSV file with the columns file "
            "and, maybe, label."
        ),
    ],
    model: ModelName,
    layer: Annotated[str, typer.Option(help="The layer's name; see the command layers.")],
    out_dir: Annotated[
        Path,
        typer.Option("--out", help="Folder for the results; started again, a run goes on there."),
    ],
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that the files in the CSV file are relative to (default: its own).",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="As in explain.", show_default=False)] = None,
    layer_input: Annotated[
        bool, typer.Option("--layer-input", help="Explain by the layer's input, not its output.")
    ] = False,
    target: Annotated[
        str, typer.Option(help="Class to explain: prediction, label or a number.")
    ] = "prediction",
    fit: Annotated[
        str | None,
        typer.Option(
            help="Learn one clustering for all images first, from all or from so many of them.",
            show_default=False,
        ),
    ] = None,
    n_clusters: Annotated[int, typer.Option(min=1, help="Number of clusters.")] = 10,
    scaling: Annotated[Scaling, typer.Option(help="How drops become a map.")] = DENSITY,
    importance: Annotated[Importance, typer.Option(help="How clusters are weighed.")] = ABLATION,
    n_clusterings: Annotated[
        int, typer.Option(min=1, help="Number of clusterings to average.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the clustering.")] = 0,
    channel_dim: Annotated[
        int, typer.Option(help="The layer's dimension of channels; -1 for transformers.")
    ] = 1,
    score: Annotated[Score, typer.Option(help="What drops are measured in.")] = LOGIT,
    resolution: Annotated[
        Resolution, typer.Option(help="Size of the maps that are stored.")
    ] = Resolution.layer,
    size: Annotated[
        int | None, typer.Option(min=1, help="As in explain.", show_default=False)
    ] = None,
    mean: Annotated[str | None, typer.Option(help="As in explain.", show_default=False)] = None,
    std: Annotated[str | None, typer.Option(help="As in explain.", show_default=False)] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images at a time (default: what fits).", show_default=False),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="GiB that a batch may take (default: 1, or half of what is free on a GPU).",
            show_default=False,
        ),
    ] = None,
    chunk_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Images in each file, whole batches (default: 512).", show_default=False
        ),
    ] = None,
    retry_errors: Annotated[
        bool,
        typer.Option("--retry-errors", help="Try images again that could not be explained."),
    ] = False,
    num_workers: Annotated[
        int, typer.Option(min=0, help="Processes (with ray: threads of each worker) that read.")
    ] = 2,
    engine: Annotated[EngineName, typer.Option(help="What computes.")] = EngineName.local,
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster (default: this machine).", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of Ray's workers (default: 2).", show_default=False),
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="GPUs, or the part of one, of each of Ray's workers (default: 0).",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, ...")] = "cpu",
) -> None:
    """
    Explain a whole data set, in steps that survive the end of the process.

    Results are Parquet files in --out, for each image the map and the clusters' scores. The
    same command goes on where it stopped.
    """
    means, stds = _numbers(mean, "--mean"), _numbers(std, "--std")
    with _sentences():
        try:
            from captum_clustered.cli.run import Choices, engine_of, fit_of, run_data
        except ModuleNotFoundError as error:
            raise UserError(_needs("run", error)) from error
        from captum_clustered.cli.targets import target_of

        choices = Choices(
            data=str(data),
            root=None if root is None else str(root),
            model=model,
            weights=weights,
            size=size,
            mean=means,
            std=stds,
            device=device,
            settings={
                "layer": layer,
                "layer_input": layer_input,
                "n_clusters": n_clusters,
                "scaling": scaling.value,
                "importance": importance.value,
                "n_clusterings": n_clusterings,
                "seed": seed,
                "channel_dim": channel_dim,
                "score": score.value,
            },
            target=target_of(target),
        )
        run_data(
            choices,
            out_dir,
            engine_of(engine.value, num_workers, address, workers, gpus_per_worker),
            fit=fit_of(fit),
            resolution=resolution.value,
            batch_size=batch_size,
            memory=memory,
            chunk_size=chunk_size,
            retry_errors=retry_errors,
        )


@app.command()
def clusters(
    folder: Annotated[Path, typer.Argument(help="Folder of a run with --fit.", show_default=False)],
    examples: Annotated[int, typer.Option(min=1, help="Images for each cluster.")] = 6,
) -> None:
    """
    Show what each cluster is worth over a whole data set, and in which images most.

    Prints the mean drop of each cluster for each explained class and writes clusters.csv,
    cluster_examples.csv and a contact sheet, clusters.png, to the run's folder. The model and
    the images must be where they were.
    """
    with _sentences():
        try:
            from captum_clustered.cli.clusters import summarize
        except ModuleNotFoundError as error:
            raise UserError(_needs("clusters", error)) from error
        summarize(folder, examples)


def _needs(command: str, error: ModuleNotFoundError) -> str:
    return (
        f"{command} needs {error.name}, which is not installed: pip install captum_clustered[run]"
    )


def _explain_all(
    explainer: ImageExplainer, images: Sequence[Path], out_dir: Path
) -> list[tuple[str, str]]:
    """Explains each image; one that fails does not keep the others from being explained."""
    from captum_clustered.cli.explain_image import explain_image
    from captum_clustered.cli.outputs import output_names
    from captum_clustered.cli.tables import failure_table
    from captum_clustered.data.dicom import frames_of
    from captum_clustered.data.images import read_image

    images = [frame for path in images for frame in frames_of(path)]
    failures: list[tuple[str, str]] = []
    # A remark that holds for all images is made once.
    notes: dict[str, None] = {}
    with progress_bar(needed=len(images) > 1) as bar:
        task = bar.add_task("Explaining", total=len(images))
        for path, name in zip(images, output_names(images), strict=True):
            title = printable(path)
            try:
                image = read_image(path)
                stem = out_dir / name
                explanation, _ = explain_image(explainer, image, title, stem)
                notes |= dict.fromkeys(explanation.notes)
            except (UserError, ValueError, OSError, ImportError) as error:
                failures.append((title, one_line(error)))
            bar.advance(task)
    for text in notes:
        note(text)
    if len(images) == 1:
        for _, reason in failures:
            say_error(reason)
    elif failures:
        show_error(failure_table(failures))
        say_error(f"{len(failures)} of {len(images)} images failed.")
    return failures


@contextmanager
def _sentences() -> Iterator[None]:
    """Shows what the user can mend as a sentence and ends with status 1."""
    try:
        with as_user_error():
            yield
    except UserError as error:
        say_error(str(error))
        raise typer.Exit(1) from None


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """One or three numbers that make sense for values on a scale of 0 to 1."""
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} must be numbers, separated by commas", param_hint=option
        ) from None
    if len(numbers) not in (1, 3):
        raise typer.BadParameter(f"{text!r} must be 1 or 3 numbers", param_hint=option)
    # No channel can be divided by a deviation of zero.
    if not all(0 <= number <= 1 and (number > 0 or option == "--mean") for number in numbers):
        raise typer.BadParameter(
            f"{text!r}: pixel values are on a scale of 0 to 1 here, so numbers must be too",
            param_hint=option,
        )
    return numbers
