"""The run that is measured: the study's linear network on a folder of images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from study.checkpoints import load_network

from captum_clustered import ClusteredLayerCAM
from captum_clustered.data.image_list import ImageItems, list_items
from captum_clustered.data.preprocessing import make_preprocessing
from captum_clustered.dataset_run import Run, explain_dataset
from captum_clustered.dataset_run.engine import Engine
from captum_clustered.models import Model

CLASSES = 2
# (pixel - 127) / 128, as the network was trained.
MEAN, STD = 127 / 255, 128 / 255


@dataclass(frozen=True)
class Case:
    """
    Attributes:

        data (Path): Folder of images.
        models (Path): Folder of networks.
        n_images (int or None): The first so many of them.
        batch_size (int or None): As in :func:`explain_dataset`.
        chunk_size (int or None): As in :func:`explain_dataset`.
    """

    data: Path
    models: Path
    n_images: int | None = None
    batch_size: int | None = None
    chunk_size: int | None = None

    def method(self) -> ClusteredLayerCAM:
        """The method on the activations behind the network's last ReLU."""
        network: Any = load_network(self.models, "linear")
        return ClusteredLayerCAM(network, network._avg_pooling)

    def items(self) -> ImageItems:
        """The images."""
        cam = self.method()
        model = Model("linear", cam.forward_func, None, None, None)
        preprocessing = make_preprocessing(None, mean=(MEAN,), std=(STD,))
        found = list_items(self.data, None, model, CLASSES, preprocessing)
        if self.n_images is None:
            return found
        names, labels = found.names[: self.n_images], found.labels[: self.n_images]
        return replace(found, names=type(found.names)(names), labels=labels)

    def run(self, out: Path, engine: Engine | None = None, **options: Any) -> Run:
        """The whole run."""
        items = self.items()
        return explain_dataset(
            self.method(),
            items,
            out,
            names=items.names,
            attribute_to_layer_input=True,
            batch_size=self.batch_size,
            chunk_size=self.chunk_size,
            engine=engine,
            **options,
        )
