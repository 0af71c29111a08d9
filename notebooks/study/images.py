"""Images as inputs of the networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, default_collate
from torchvision.transforms import InterpolationMode, v2

SIDE = 224
# (pixel - 127) / 128, as in the training of EfficientNet-lite.
MEAN, STD = 127.0, 128.0


def preparation() -> v2.Compose:
    """Return the transform from an image and its mask to the network's input (3, 224, 224)."""
    return v2.Compose([*resized(), *normalized()])


def resized() -> list[v2.Transform]:
    """Return the transforms to gray and to the input size; the result is a PIL image."""
    return [
        v2.Grayscale(num_output_channels=3),
        v2.Resize((SIDE, SIDE), interpolation=InterpolationMode.BILINEAR),
    ]


def normalized() -> list[v2.Transform]:
    """Return the transforms from a PIL image to a normalized tensor."""
    return [
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=False),
        v2.Normalize([MEAN] * 3, [STD] * 3),
    ]


def sample(dataset: Dataset[Any], limit: int | None = None, seed: int = 0) -> Subset[Any]:
    """
    Return the images in a fixed random order, or the first ``limit`` of them.

    A short run therefore uses a random sample, and a longer run starts with the same images.

    Args:

        dataset (Dataset): The images.
        limit (int, optional): Number of images; all if there are fewer.
                    Default: None (all)
        seed (int, optional): Seed of the order.
                    Default: 0

    Returns:
        Subset: A subset of the data set.
    """
    n = len(dataset)  # type: ignore[arg-type]
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return Subset(dataset, order[:limit].tolist())


def patients_of(dataset: Dataset[Any]) -> list[str]:
    """
    Return the patient of each item.

    Raises:

        ValueError: If a patient is unknown.
    """
    if isinstance(dataset, Subset):
        whole = patients_of(dataset.dataset)
        return [whole[index] for index in dataset.indices]
    found = list(getattr(dataset, "patients", [None]))
    if None in found:
        raise ValueError("dataset does not know the patient of each image.")
    return found


def labels_of(dataset: Dataset[Any]) -> list[int]:
    """Return the label of each item."""
    if isinstance(dataset, Subset):
        whole = labels_of(dataset.dataset)
        return [whole[index] for index in dataset.indices]
    return list(dataset.targets)  # type: ignore[attr-defined]


def batches(dataset: Dataset[Any], batch_size: int, **kwargs: Any) -> DataLoader[Any]:
    """Return a loader of (images, labels, masks), with images in channels-last memory format."""
    return DataLoader(dataset, batch_size=batch_size, collate_fn=_channels_last, **kwargs)


def _channels_last(items: list[Any]) -> list[Tensor]:
    images, *others = default_collate(items)
    return [images.contiguous(memory_format=torch.channels_last), *others]
