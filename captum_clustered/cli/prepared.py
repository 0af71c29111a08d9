"""What a run explains and by what, loaded from its options or its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from captum_clustered._errors import UserError, as_user_error, explained, printable
from captum_clustered._storage.atomic import write_json
from captum_clustered._storage.fingerprints import hash_names
from captum_clustered._storage.layout import COMMAND
from captum_clustered.cli.console import note, user_warnings
from captum_clustered.cli.options import NetworkOptions
from captum_clustered.data import ImageList
from captum_clustered.dataset_run import Run
from captum_clustered.dataset_run.description import describe_method
from captum_clustered.explain import ExplainerSettings, ImageExplainer


@dataclass(frozen=True)
class Prepared:
    """The model, the method and the data of a run."""

    data: str  # folder or table
    root: str | None  # folder that the table's files are relative to
    network: NetworkOptions
    explainer: ImageExplainer  # the network, loaded, its layer and the method
    items: ImageList  # the data

    @classmethod
    def load(
        cls,
        data: str,
        root: str | None,
        network: NetworkOptions,
        settings: ExplainerSettings,
        masks: Path | None = None,
    ) -> Prepared:
        """Load the model and list the data."""
        model, preprocessing = network.load()
        explainer = ImageExplainer(model, settings, preprocessing)
        with as_user_error("--data"), user_warnings(note):
            items = ImageList(
                data,
                root,
                transform=preprocessing,
                classes=model.class_names,
                n_classes=explainer.n_classes,
                masks=masks,
            )
        return cls(data, root, network, explainer, items)

    @classmethod
    def load_again(
        cls, folder: Path, class_names: str | None = None, masks: Path | None = None
    ) -> Prepared:
        """Load what ``command.json`` of a run says, with names of classes and masks if given."""
        path = folder / COMMAND
        if not path.is_file():
            raise UserError(f"{printable(folder)} was not made by captum-clustered run.")
        with explained(f"{printable(path)} cannot be read"):
            content = json.loads(path.read_text(encoding="utf-8"))
            given: dict[str, Any] = content["network"]
            for name in ("mean", "std", "value_range", "window"):
                # JSON has no tuples.
                given[name] = given[name] and tuple(given[name])
            network = NetworkOptions(**given)
            if class_names is not None:
                network = replace(network, class_names=class_names)
            settings = ExplainerSettings(**content["settings"])
        try:
            with as_user_error():
                return cls.load(content["data"], content["root"], network, settings, masks)
        except UserError as error:
            raise UserError(
                f"What {printable(path)} names cannot be loaded: {error} Its paths are relative to "
                "the folder in which the run was called."
            ) from error

    def save(self, folder: Path) -> None:
        """Write what :meth:`load_again` needs."""
        settings = self.explainer.settings
        content = {
            "data": self.data,
            "root": self.root,
            "network": asdict(replace(self.network, layer=list(settings.layers))),
            "settings": settings.to_json(),
            # For readers of the results; the others are options of the command.
            "classes": self.items.classes,
            "classes_are_a_guess": self.explainer.model.class_names is None,
            "preprocessing": self.explainer.preprocessing.description,
        }
        write_json(folder / COMMAND, content)

    @property
    def about(self) -> dict[str, str]:
        """What else must be the same for results to belong together."""
        return {
            "preprocessing": self.explainer.preprocessing.identity,
            "labels": hash_names(self.items.labels),
        }

    def check_same(self, run: Run) -> None:
        """Raise a UserError if a run was made with something else."""
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
