"""Batches of images, without those that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from captum_clustered._errors import explained, one_line
from captum_clustered.data._originals import JointPreprocessing, Original
from captum_clustered.data.base import MaskedImages
from captum_clustered.data.image_list import ImageList
from captum_clustered.data.preprocessing import Preprocessing


class ImageBatches:
    """
    The items of an :class:`ImageList` or a data set in batches, without those that cannot be read.

    A batch is a tuple (inputs, labels or None[, masks]), as
    :func:`compare <captum_clustered.comparison.compare>` takes it. A ValueError has the reasons
    if no image can be read.

    Args:

        images (ImageList or MaskedImages): The images, with a transform.
        batch_size (int): Images in each batch but the last.
        on_image (Callable, optional): Called for each image once the caller is done with its
                    batch, that is, asks for the next one.
                    Default: None

    Attributes:

        names (list of str): Names of the images in the batches so far.
        failures (list of tuple[str, str]): Names of the images left out so far, and the reasons.

    Examples::

        >>> images = ImageList("scans", transform=make_preprocessing(), masks="masks")
        >>> comparison = compare(model, model.layer4, ImageBatches(images, 16))
    """

    def __init__(
        self,
        images: ImageList | MaskedImages,
        batch_size: int,
        on_image: Callable[[], None] | None = None,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.on_image = on_image
        self.names: list[str] = []
        self.failures: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[tuple[Tensor | None, ...]]:
        self.names, self.failures = [], []
        batch: list[tuple[Any, ...]] = []
        done = 0
        for index in range(len(self.images)):
            name = self.images.names[index]
            try:
                batch.append(self.images[index])
                self.names.append(name)
            except (ValueError, OSError, ImportError) as error:
                self.failures.append((name, one_line(error)))
            if len(batch) == self.batch_size:
                yield _stacked(batch)
                batch = []
                self._count(index + 1 - done)
                done = index + 1
        if batch:
            yield _stacked(batch)
        self._count(len(self.images) - done)
        if not self.names:
            reasons = "; ".join(dict.fromkeys(why for _, why in self.failures))
            raise ValueError(f"None of the images can be read: {reasons}")

    def original(self, number: int) -> Original | None:
        """Read an image in the batches again, as it is in its file; None if that is not known."""
        images = self.images
        preprocessing = images.transform
        if isinstance(images, MaskedImages) and isinstance(images.transforms, JointPreprocessing):
            preprocessing = images.transforms.preprocessing
        if not isinstance(preprocessing, Preprocessing):
            return None
        name = self.names[number]
        with explained(f"{name} cannot be read again", ValueError):
            return Original.read(images, images.names.index(name), preprocessing)

    def _count(self, n_images: int) -> None:
        if self.on_image is not None:
            for _ in range(n_images):
                self.on_image()


def _stacked(batch: list[tuple[Any, ...]]) -> tuple[Tensor | None, ...]:
    inputs, labels, *masks = zip(*batch, strict=True)
    numbers = None if None in labels else torch.tensor(labels)
    return (torch.stack(inputs), numbers, *map(torch.stack, masks))
