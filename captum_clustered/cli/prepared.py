"""What a run on a whole data set explains and by what, so that later commands can load it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captum_clustered._errors import UserError, as_user_error, explained, printable
from captum_clustered._storage.fingerprints import hash_names
from captum_clustered._storage.layout import COMMAND
from captum_clustered.cli.options import load_network
from captum_clustered.data.image_list import ImageList
from captum_clustered.data.preprocessing import Preprocessing
from captum_clustered.dataset_run import Run
from captum_clustered.dataset_run.description import describe_method
from captum_clustered.explain import ExplainerSettings, ImageExplainer
from captum_clustered.models import Model

__all__ = ["Choices", "Prepared", "prepare", "prepare_again"]


@dataclass(frozen=True)
class Choices:
    """
    What is explained and by what, as values that JSON has.

    Attributes:

        data (str): Folder or table.
        root (str or None): Folder that the table's files are relative to.
        model (str): Name of the network.
        weights (str or None): Name or file of its weights.
        size, mean, std: As in :func:`make_preprocessing`.
        device (str): Where the network is.
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
        preprocessing (Preprocessing): How images become the network's input.
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
            # Spaces have no meaning.
            "preprocessing": " ".join(repr(self.preprocessing.transform).split()),
            "labels": hash_names(self.items.labels),
        }

    def check_same(self, run: Run) -> None:
        """
        Check that a run was made with this.

        Raises:

            UserError: If it was made with something else.
        """
        now = {
            **describe_method(self.explainer.cam),
            **self.about,
            "data": hash_names(self.items.names),
        }
        changed = [name for name, value in now.items() if run.manifest.settings.get(name) != value]
        if changed:
            raise UserError(
                f"{printable(run.folder)} was made with other {', '.join(changed)} than there are "
                "now; its images can be shown only with those of then."
            )

    def class_name(self, index: int) -> str:
        """Return the class's name as the model or the data have it, or its number."""
        names = self.items.classes
        return names[index] if index < len(names) else self.model.class_name(index)


def prepare(choices: Choices) -> Prepared:
    """
    Load the model and list the data.

    Raises:

        UserError, ValueError, OSError, ImportError: If any of the choices does not work.
    """
    network, preprocessing = load_network(
        choices.model, choices.weights, choices.size, choices.mean, choices.std, choices.device
    )
    settings = ExplainerSettings(**choices.settings)
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


def prepare_again(folder: Path) -> Prepared:
    """
    Load what a run was made with.

    Raises:

        UserError: If the run's folder does not name it, or it cannot be loaded any more.
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
        with as_user_error():
            return prepare(choices)
    except UserError as error:
        raise UserError(
            f"What {printable(path)} names cannot be loaded: {error} Its paths are relative to the "
            "folder in which the run was called."
        ) from error
