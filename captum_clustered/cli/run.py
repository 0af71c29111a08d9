"""The command run."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from torch.utils.data import get_worker_info

from captum_clustered._errors import UserError, explained, one_line, printable
from captum_clustered._storage.atomic import write_json
from captum_clustered._storage.layout import COMMAND, ERRORS
from captum_clustered.cli.console import failure_table, note, out, run_bar, sentences, show
from captum_clustered.cli.explain import prepare_folder, say_usual_layer
from captum_clustered.cli.options import (
    MethodOptions,
    NetworkOptions,
    ResumableFolder,
    Target,
    expanded,
    target_of,
)
from captum_clustered.cli.prepared import Choices, prepare
from captum_clustered.dataset_run import LocalEngine, RayEngine, Run, explain_dataset
from captum_clustered.dataset_run.engine import Engine

__all__ = ["run"]

# Number of errors that are printed; the file has all.
SHOWN = 10
GIB = 2**30


class Resolution(str, Enum):
    """Choices of --resolution."""

    layer = "layer"
    input = "input"


class EngineName(str, Enum):
    """Choices of --engine."""

    local = "local"
    ray = "ray"


@expanded
def run(
    network: NetworkOptions,
    data: Annotated[
        Path,
        typer.Option(
            help="Folder of images and of folders of images, or CSV file with the column file and, "
            "optionally, label."
        ),
    ],
    out_dir: ResumableFolder,
    method: MethodOptions,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that the files in the CSV file are relative to (default: its own).",
            show_default=False,
        ),
    ] = None,
    target: Target = "prediction",
    fit: Annotated[
        str | None,
        typer.Option(
            help="Fit one shared clustering first, on all images or on N of them: all or N.",
            show_default=False,
        ),
    ] = None,
    resolution: Annotated[
        Resolution, typer.Option(help="Size of the stored maps.")
    ] = Resolution.layer,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of images in a batch (default: as many as fit into --memory).",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="GiB that a batch may take (default: 1, or half of the free memory of a GPU).",
            show_default=False,
        ),
    ] = None,
    chunk_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of images in each file, a multiple of the batch size (default: about "
            "512).",
            show_default=False,
        ),
    ] = None,
    retry_errors: Annotated[
        bool,
        typer.Option("--retry-errors", help="Try images again that could not be explained."),
    ] = False,
    num_workers: Annotated[
        int,
        typer.Option(min=0, help="Processes that read images (with ray: threads per worker)."),
    ] = 2,
    engine: Annotated[
        EngineName, typer.Option(help="Compute in this process or with Ray.")
    ] = EngineName.local,
    address: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster (default: this machine).", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of Ray workers (default: 2).", show_default=False),
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="GPUs of each Ray worker, possibly a fraction of one (default: 0).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """
    Explain a whole data set, in steps that survive the end of the process.

    Results are Parquet files in --out, with the map and the clusters' importances of each image.
    The same command continues where it stopped.
    """
    means, stds = network.numbers()
    with sentences():
        on = target_of(target)
        settings = method.settings(network.layer, on if isinstance(on, int) else None)
        choices = Choices(
            data=str(data),
            root=None if root is None else str(root),
            model=network.model,
            weights=network.weights,
            size=network.size,
            mean=means,
            std=stds,
            device=network.device,
            settings=settings.to_json(),
            target=on,
        )
        _explain_data(
            choices,
            out_dir,
            _engine_of(engine.value, num_workers, address, workers, gpus_per_worker),
            fit=_fit_of(fit),
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


def _engine_of(
    name: str,
    num_workers: int,
    address: str | None,
    workers: int | None,
    gpus_per_worker: float | None,
) -> Engine:
    """Return the engine; options of Ray that are None are left to it."""
    options = {"address": address, "workers": workers, "gpus_per_worker": gpus_per_worker}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if name == "local":
        if given:
            names = ", ".join(f"--{key.replace('_', '-')}" for key in given)
            raise UserError(f"{names} would have no effect without --engine ray.")
        return LocalEngine(num_workers)
    with explained("--engine ray does not work"):
        return RayEngine(readers=num_workers, **given)


def _explain_data(choices: Choices, folder: Path, engine: Engine, **options: Any) -> None:
    """Explain all of the data with options of :func:`explain_dataset`, and print the outcome."""
    # What is written must not become a part of the data.
    if folder.resolve().is_relative_to(Path(choices.data).resolve()):
        raise UserError(
            f"--out {printable(folder)} lies in --data {printable(choices.data)}, so its images "
            "would become data; choose a folder beside it."
        )
    prepare_folder(folder)
    prepared = prepare(choices)
    explainer, items = prepared.explainer, prepared.items
    say_usual_layer(choices.settings["layer"], explainer.settings.layer)
    choices = replace(choices, settings=explainer.settings.to_json())
    done = _Done()
    with _notes(), run_bar() as bar:
        task = bar.add_task("Explaining", total=len(items))

        def progress(count: int, total: int) -> None:
            if not done.has_begun:
                # Now it is known that the folder's run is this one, and it may end at any moment.
                write_json(folder / COMMAND, asdict(choices))
            bar.update(task, completed=count, total=total)
            done.count(count)

        with _interruptions(folder):
            result = explain_dataset(
                explainer.cam,
                items,
                folder,
                target=choices.target,
                attribute_to_layer_input=explainer.settings.layer_input,
                layer_baselines=explainer.settings.layer_baselines,
                perturbations_per_eval=explainer.settings.perturbations_per_eval,
                names=items.names,
                about=prepared.about,
                engine=engine,
                progress=progress,
                **options,
            )
    _say(result, done, folder)


class _Done:
    """Number of images that were explained, and the time it took."""

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._first: int | None = None
        self._start = time.perf_counter()

    @property
    def has_begun(self) -> bool:
        """Whether anything was counted."""
        return self._first is not None

    def count(self, images: int) -> None:
        if self._first is None:
            self._first, self._start = images, time.perf_counter()
        self.images = images - self._first
        self.seconds = time.perf_counter() - self._start


@contextmanager
def _notes() -> Iterator[None]:
    """Print each warning once, at once: a run takes hours, and a list would grow with the data."""
    said: set[str] = set()

    def say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        # Processes that read images share the terminal, but not the set.
        if category is UserWarning and text not in said and get_worker_info() is None:
            said.add(text)
            note(text)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = say
        yield


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


def _say(result: Run, done: _Done, folder: Path) -> None:
    errors = result.errors()
    total = result.manifest.n_items
    text = f"{total} images, {total - len(errors)} of them explained"
    if done.images:
        text += f"; {done.images} now, in {done.seconds:.0f} s ({done.images / done.seconds:.1f}/s)"
    out.print(Text(f"{text}. Results: {printable(folder)}"), soft_wrap=True)
    if errors:
        show(failure_table(errors[:SHOWN]))
        images = "1 image" if len(errors) == 1 else f"{len(errors)} images"
        note(f"{images} could not be explained: {printable(folder / ERRORS)}")
