"""Whole data sets on the command line."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.text import Text
from torch.utils.data import get_worker_info

from captum_clustered._errors import UserError, as_user_error, explained, one_line, printable
from captum_clustered._storage.atomic import write_json
from captum_clustered._storage.fingerprints import hash_names
from captum_clustered._storage.layout import COMMAND
from captum_clustered.cli.console import note, out, run_bar, show
from captum_clustered.cli.outputs import prepare_folder
from captum_clustered.cli.tables import failure_table
from captum_clustered.data.image_list import ImageList
from captum_clustered.data.preprocessing import Preprocessing, make_preprocessing
from captum_clustered.dataset_run import LocalEngine, RayEngine, Run, explain_dataset
from captum_clustered.dataset_run.description import describe_method
from captum_clustered.dataset_run.engine import Engine
from captum_clustered.explain import ExplainerSettings, ImageExplainer
from captum_clustered.models import Model, load_model

__all__ = ["Choices", "Prepared", "again", "engine_of", "fit_of", "prepare", "run_data"]

# Errors that are printed; the file has all.
SHOWN = 10
GIB = 2**30


@dataclass(frozen=True)
class Choices:
    """
    What is explained and by what, in terms that JSON has.

    Attributes:

        data (str): Folder or table.
        root (str or None): What the table's files are relative to.
        model (str): Its name.
        weights (str or None): Name or file.
        size, mean, std: As in :func:`make_preprocessing`.
        device (str): Where the model is.
        settings (dict): Of :class:`captum_clustered.explain.ExplainerSettings`.
        target (str or int): "prediction", "label" or a class.
    """

    data: str
    root: str | None
    model: str
    weights: str | None
    size: int | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    device: str
    settings: dict[str, Any]
    target: str | int


@dataclass(frozen=True)
class Prepared:
    """
    What the choices name, loaded.

    Attributes:

        explainer (ImageExplainer): Model, layer and method.
        items (ImageList): The data.
        preprocessing (Preprocessing): The way into the network.
    """

    explainer: ImageExplainer
    items: ImageList
    preprocessing: Preprocessing

    @property
    def model(self) -> Model:
        """The network."""
        return self.explainer.model

    @property
    def about(self) -> dict[str, str]:
        """What else must be the same for results to belong together."""
        return {
            # Spaces are of no meaning.
            "preprocessing": " ".join(repr(self.preprocessing.transform).split()),
            "labels": hash_names(self.items.labels),
        }

    def check_same(self, run: Run) -> None:
        """
        Raises:

            UserError: If it is not what a run was made with.
        """
        now = {
            **describe_method(self.explainer.cam),
            **self.about,
            "data": hash_names(self.items.names),
        }
        changed = [name for name, value in now.items() if run.manifest.settings.get(name) != value]
        if changed:
            raise UserError(
                f"{printable(run.folder)} was made with other {', '.join(changed)} than there "
                "are now; pictures of it need what there was then."
            )

    def class_name(self, index: int) -> str:
        """The class's name as the model or the data have it, or its number."""
        names = self.items.classes
        return names[index] if index < len(names) else self.model.class_name(index)


def prepare(choices: Choices) -> Prepared:
    """
    Loads the model and lists the data.

    Raises:

        UserError: If any of the choices does not work.
    """
    network = load_model(choices.model, choices.weights, choices.device)
    with as_user_error():
        preprocessing = make_preprocessing(
            network.preset, network.n_channels, choices.size, choices.mean, choices.std
        )
    settings = ExplainerSettings(**choices.settings)
    if isinstance(choices.target, int):
        settings = replace(settings, target=choices.target)
    explainer = ImageExplainer(network, settings, preprocessing)
    with as_user_error("--data"):
        items = ImageList(
            choices.data,
            choices.root,
            transform=preprocessing,
            classes=network.categories,
            n_classes=explainer.n_classes,
        )
    return Prepared(explainer, items, preprocessing)


def again(folder: Path) -> Prepared:
    """
    What a run was made with.

    Raises:

        UserError: If the run does not say, or it does not work any more.
    """
    path = folder / COMMAND
    if not path.is_file():
        raise UserError(f"{printable(folder)} was not made by captum-clustered run.")
    with explained(f"{printable(path)} cannot be read"):
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("mean", "std"):
            content[name] = None if content[name] is None else tuple(content[name])
        choices = Choices(**content)
    try:
        return prepare(choices)
    except UserError as error:
        raise UserError(
            f"What {printable(path)} names cannot be loaded: {error} Paths in it count from the "
            "folder in which the run was called."
        ) from error


def fit_of(text: str | None) -> str | int | None:
    """
    Raises:

        UserError: If it is neither "all" nor a number.
    """
    if text is None or text == "all":
        return text
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise UserError(f"--fit {text} must be all or a number of images.")


def engine_of(
    name: str,
    num_workers: int,
    address: str | None,
    workers: int | None,
    gpus_per_worker: float | None,
) -> Engine:
    """
    Args:

        name (str): "local" or "ray".
        num_workers (int): What reads images.
        address, workers, gpus_per_worker: Of Ray; None leaves them to :class:`RayEngine`.

    Raises:

        UserError: If it is not installed, or options of Ray are given for another.
    """
    options = {"address": address, "workers": workers, "gpus_per_worker": gpus_per_worker}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if name == "local":
        if given:
            names = ", ".join(f"--{key.replace('_', '-')}" for key in given)
            raise UserError(f"{names} would have no effect: they are for --engine ray.")
        return LocalEngine(num_workers)
    with explained("--engine ray does not work"):
        return RayEngine(readers=num_workers, **given)


def _check_apart(data: str, folder: Path) -> None:
    """What is written must not become a part of the data."""
    if folder.resolve().is_relative_to(Path(data).resolve()):
        raise UserError(
            f"--out {printable(folder)} lies in --data {printable(data)}, so its pictures would "
            "become data; choose a folder beside it."
        )


def run_data(
    choices: Choices,
    folder: Path,
    engine: Engine,
    *,
    fit: str | int | None,
    resolution: str,
    batch_size: int | None,
    memory: float | None,
    chunk_size: int | None,
    retry_errors: bool,
) -> Run:
    """
    Explains all of the data and says what came of it.

    Args:

        choices (Choices): What is explained, and by what.
        folder (Path): For the results.
        engine (Engine): What computes.
        fit, resolution, batch_size, chunk_size, retry_errors: See :func:`explain_dataset`.
        memory (float, optional): In GiB.

    Raises:

        UserError: If it cannot begin, cannot go on or is interrupted by a full disk.
    """
    _check_apart(choices.data, folder)
    prepare_folder(folder)
    prepared = prepare(choices)
    explainer, items = prepared.explainer, prepared.items
    done = _Done()
    with _notes(), run_bar() as bar:
        task = bar.add_task("Explaining", total=len(items))

        def progress(count: int, total: int) -> None:
            if not done.has_begun:
                # Now the run is known to be this one, and may end at any moment.
                write_json(folder / COMMAND, asdict(choices), indent=1)
            bar.update(task, completed=count, total=total)
            done.count(count)

        with _sentences(folder):
            run = explain_dataset(
                explainer.cam,
                items,
                folder,
                target=choices.target,
                attribute_to_layer_input=explainer.settings.layer_input,
                resolution=resolution,
                names=items.names,
                fit=fit,
                batch_size=batch_size,
                memory=None if memory is None else int(memory * GIB),
                chunk_size=chunk_size,
                about=prepared.about,
                retry_errors=retry_errors,
                engine=engine,
                progress=progress,
            )
    _say(run, done, folder)
    return run


class _Done:
    """How many images were explained in how much time."""

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
    """
    Says each warning once, as soon as it is there: at the end of hours it would be late, and a
    list of all of them would grow with the data.
    """
    said: set[str] = set()

    def say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        # Processes that read images share the terminal, and not what was said.
        if category is UserWarning and text not in said and get_worker_info() is None:
            said.add(text)
            note(text)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = say
        yield


@contextmanager
def _sentences(folder: Path) -> Iterator[None]:
    """Makes what the user can mend a sentence."""
    try:
        yield
    except KeyboardInterrupt:
        note("Interrupted. What is stored is whole, and the same command goes on from there.")
        raise
    except OSError as error:
        raise UserError(
            f"The results cannot be written to --out {printable(folder)}: "
            f"{error.strerror or one_line(error)}. What is there is whole; once there is room, the "
            "same command goes on."
        ) from error
    except (ValueError, RuntimeError) as error:
        raise UserError(one_line(error)) from error


def _say(run: Run, done: _Done, folder: Path) -> None:
    errors = run.errors()
    total = run.manifest.n_items
    text = f"{total} images, {total - len(errors)} of them explained"
    if done.images:
        text += f"; {done.images} now, in {done.seconds:.0f} s ({done.images / done.seconds:.1f}/s)"
    out.print(Text(f"{text}. Results: {printable(folder)}"), soft_wrap=True)
    if errors:
        show(failure_table(errors[:SHOWN]))
        images = "1 image" if len(errors) == 1 else f"{len(errors)} images"
        note(f"{images} could not be explained: {printable(folder / 'errors.csv')}")
