"""The run that is measured: the study's linear network on a folder of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.checkpoints import load_network
from torch.utils.data import Subset

from captum_clustered import ClusteredLayerCAM
from captum_clustered.data.image_list import ImageList
from captum_clustered.data.preprocessing import make_preprocessing
from captum_clustered.dataset_run import Run, explain_dataset
from captum_clustered.dataset_run.engine import Engine

CLASSES = 2
# (pixel - 127) / 128, as the network was trained.
MEAN, STD = 127 / 255, 128 / 255


class FirstImages(Subset[Any]):
    """The first N images of a list."""

    def __init__(self, images: ImageList, n_images: int) -> None:
        self.names = images.names[:n_images]
        super().__init__(images, range(len(self.names)))


@dataclass(frozen=True)
class Case:
    """
    A run over a folder of images.

    Attributes:

        data (Path): Folder of images.
        models (Path): Folder of networks.
        n_images (int or None): Number of images; None for all.
        batch_size (int or None): As in :func:`explain_dataset`.
        chunk_size (int or None): As in :func:`explain_dataset`.
    """

    data: Path
    models: Path
    n_images: int | None = None
    batch_size: int | None = None
    chunk_size: int | None = None

    def method(self) -> ClusteredLayerCAM:
        """Return the method on the activations behind the network's last ReLU."""
        network: Any = load_network(self.models, "linear")
        return ClusteredLayerCAM(network, network._avg_pooling)

    def items(self) -> ImageList | FirstImages:
        """Return the images."""
        preprocessing = make_preprocessing(mean=(MEAN,), std=(STD,))
        found = ImageList(self.data, transform=preprocessing, n_classes=CLASSES)
        return found if self.n_images is None else FirstImages(found, self.n_images)

    def run(self, out: Path, engine: Engine | None = None, **options: Any) -> Run:
        """Explain all images."""
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
