"""The command run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from rich.progress import Task
from rich.text import Text
from typer import Option

from captum_clustered._errors import UserError, explained, one_line, printable
from captum_clustered._storage.layout import ERRORS
from captum_clustered.cli.console import (
    failure_table,
    note,
    out,
    progress_bar,
    sentences,
    show,
    user_warnings,
)
from captum_clustered.cli.explain import check_data, prepare_folder, say_choices
from captum_clustered.cli.options import (
    MethodOptions,
    NetworkOptions,
    ResumableFolder,
    Target,
    expanded,
    target_of,
)
from captum_clustered.cli.prepared import Prepared
from captum_clustered.dataset_run import LocalEngine, RayEngine, Run, explain_dataset
from captum_clustered.dataset_run.engine import Engine

# Number of errors that are printed; the file has all.
SHOWN = 10
GIB = 2**30


Resolution = Enum("Resolution", {"layer": "layer", "input": "input"}, type=str)
EngineName = Enum("EngineName", {"local": "local", "ray": "ray"}, type=str)


@expanded
def run(
    network: NetworkOptions,
    data: Annotated[
        Path,
        Option(
            help="Folder of images, with its subfolders, or CSV file with the column image (or "
            "file) and, optionally, label."
        ),
    ],
    out_dir: ResumableFolder,
    method: MethodOptions,
    root: Annotated[
        Path | None,
        Option(
            help="Folder of the relative paths in the CSV file (default: the folder of the CSV "
            "file)."
        ),
    ] = None,
    target: Target = "prediction",
    fit: Annotated[
        str | None,
        Option(
            help="First fit one clustering for all images: on all images (all) or on N of them (N)."
        ),
    ] = None,
    resolution: Annotated[Resolution, Option(help="Size of the stored maps.")] = Resolution.layer,
    batch_size: Annotated[
        int | None,
        Option(min=1, help="Number of images in a batch (default: as many as fit into --memory)."),
    ] = None,
    memory: Annotated[
        float | None,
        Option(
            min=0.001,
            help="Memory for a batch, in GiB (default: 1, for at most 8 images, or half of the "
            "free memory of a GPU).",
        ),
    ] = None,
    chunk_size: Annotated[
        int | None,
        Option(
            min=1,
            help="Number of images in each file, a multiple of the batch size (default: about "
            "512).",
        ),
    ] = None,
    retry_errors: Annotated[
        bool, Option("--retry-errors", help="Retry the images that could not be explained.")
    ] = False,
    num_workers: Annotated[
        int, Option(min=0, help="Processes that read images (with ray: threads per worker).")
    ] = 2,
    engine: Annotated[
        EngineName, Option(help="Compute in this process or with Ray.")
    ] = EngineName.local,
    address: Annotated[
        str | None, Option(help="Address of a Ray cluster (default: this machine).")
    ] = None,
    workers: Annotated[
        int | None, Option(min=1, help="Number of Ray workers (default: 2).")
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        Option(min=0, help="GPUs of each Ray worker, possibly a fraction of one (default: 0)."),
    ] = None,
) -> None:
    """
    Explain a whole data set; an interrupted run can be resumed.

    Results are Parquet files in --out, with the map and the clusters' importances of each image.
    To resume an interrupted run, start the same command again.
    """
    with sentences():
        on = target_of(target)
        if len(network.layers) > 1:
            raise UserError(
                f"--layer {','.join(network.layers)}: run takes one layer; explain and compare "
                "take several."
            )
        settings = method.settings(network.layers, on if isinstance(on, int) else None)
        options = {"address": address, "workers": workers, "gpus_per_worker": gpus_per_worker}
        chosen = _engine_of(engine, num_workers, options)
        shared = _fit_of(fit)
        check_data("--data", data)
        _check_apart(data, out_dir)
        prepare_folder(out_dir)
        prepared = Prepared.load(str(data), None if root is None else str(root), network, settings)
        explainer = prepared.explainer
        say_choices(
            network, explainer.settings.layer_names, explainer.preprocessing, explainer.model
        )
        for text in explainer.notes:
            note(text)
        _explain_data(
            prepared,
            out_dir,
            target=on,
            engine=chosen,
            fit=shared,
            resolution=resolution.value,
            batch_size=batch_size,
            memory=None if memory is None else int(memory * GIB),
            chunk_size=chunk_size,
            retry_errors=retry_errors,
        )


def _fit_of(text: str | None) -> str | int | None:
    if text is None or text == "all":
        return text
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise UserError(f"--fit {text} must be all or a number of images.")


def _engine_of(name: EngineName, num_workers: int, options: dict[str, Any]) -> Engine:
    """Return the engine; options of Ray that are None are left to it."""
    given = {key: value for key, value in options.items() if value is not None}
    if name is EngineName.local:
        if given:
            names = ", ".join(f"--{key.replace('_', '-')}" for key in given)
            raise UserError(f"{names} would have no effect without --engine ray.")
        return LocalEngine(num_workers)
    with explained("--engine ray does not work"):
        return RayEngine(readers=num_workers, **given)


def _check_apart(data: Path, folder: Path) -> None:
    """Refuse an output folder whose files would become a part of the data."""
    if folder.resolve().is_relative_to(data.resolve()):
        raise UserError(
            f"--out {printable(folder)} lies in --data {printable(data)}, so the "
            "pictures of the results would become data. Choose a folder outside --data."
        )


def _explain_data(prepared: Prepared, folder: Path, **options: Any) -> None:
    """Explain all of the data with options of :func:`explain_dataset`, and print the outcome."""
    items, settings = prepared.items, prepared.explainer.settings
    with user_warnings(note), progress_bar() as bar:
        bar.add_task("Explaining", total=len(items), start=False)
        (task,) = bar.tasks

        def progress(count: int, total: int) -> None:
            if not task.started:
                # Now it is known that the folder's run is this one, and it may end at any moment.
                prepared.save(folder)
                task.fields["resumed"] = count
                bar.start_task(task.id)
            bar.update(task.id, completed=count)

        with _interruptions(folder):
            result = explain_dataset(
                prepared.explainer.cam,
                items,
                folder,
                **settings.arguments,
                views=settings.views,
                names=items.names,
                about=prepared.about,
                progress=progress,
                **options,
            )
    _say(result, task, folder)


@contextmanager
def _interruptions(folder: Path) -> Iterator[None]:
    """Print that results are kept when a run is interrupted, or raise what stopped it."""
    try:
        yield
    except KeyboardInterrupt:
        note("Interrupted. The stored results are complete; the same command continues from there.")
        raise
    except OSError as error:
        raise UserError(
            f"The results cannot be written to --out {printable(folder)}: "
            f"{error.strerror or one_line(error)}. The stored results are complete; once there is "
            "room, the same command continues."
        ) from error
    except RuntimeError as error:
        raise UserError(one_line(error)) from error


def _say(result: Run, task: Task, folder: Path) -> None:
    errors = result.errors()
    total = result.manifest.n_items
    text = f"Explained {total - len(errors)} of {total} images"
    images, seconds = int(task.completed) - task.fields["resumed"], task.elapsed
    if images and seconds:
        text += f"; {images} in this call, in {seconds:.0f} s ({images / seconds:.1f} images/s)"
    out.print(Text(f"{text}. Results: {printable(folder)}"), soft_wrap=True)
    if errors:
        show(failure_table(errors[:SHOWN]))
        images = "1 image" if len(errors) == 1 else f"{len(errors)} images"
        note(f"{images} could not be explained: {printable(folder / ERRORS)}")
