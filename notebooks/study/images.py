"""The images as the networks take them."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, default_collate
from torchvision.transforms import InterpolationMode, v2

from captum_clustered.data import BUSBRA, split_by_patient

SIDE = 224
# (pixel - 127) / 128, as EfficientNet-lite was trained.
MEAN, STD = 127.0, 128.0
SPLITS = ("val", "val-select", "val-report")


def preparation() -> v2.Compose:
    """From an image of any size, and its mask, to the network's input (3, 224, 224)."""
    return v2.Compose([*resized(), *normalized()])


def resized() -> list[v2.Transform]:
    """Gray and of the networks' size, still a picture."""
    return [
        v2.Grayscale(num_output_channels=3),
        v2.Resize((SIDE, SIDE), interpolation=InterpolationMode.BILINEAR),
    ]


def normalized() -> list[v2.Transform]:
    """From a picture to numbers around zero."""
    return [
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=False),
        v2.Normalize([MEAN] * 3, [STD] * 3),
    ]


def part(root: str | os.PathLike[str], split: str) -> Dataset[Any]:
    """
    A part of BUS-BRA for the networks: items are (image, label, mask).

    Args:

        root (str or PathLike): Where the data set is.
        split (str): A split of BUS-BRA, or one of the halves of its validation patients:
                    "val-select" to choose by, "val-report" to report.

    Returns:
        Dataset: Of :mod:`captum_clustered.data`.
    """
    whole = BUSBRA(os.fspath(root), split.split("-")[0], transforms=preparation())
    if split not in ("val-select", "val-report"):
        return whole
    select, report = split_by_patient(whole, (0.5, 0.5), seed=0)
    return select if split == "val-select" else report


def sample(dataset: Dataset[Any], limit: int | None = None, seed: int = 0) -> Subset[Any]:
    """
    The images in a random order that is always the same, or the first so many of them.

    So a short run is on a random sample, and a longer one begins with the same images.

    Args:

        dataset (Dataset): The images.
        limit (int, optional): How many; all if there are fewer.
                    Default: None (all)
        seed (int, optional): Another seed, another order.
                    Default: 0

    Returns:
        Subset: Of the data set.
    """
    n = len(dataset)  # type: ignore[arg-type]
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return Subset(dataset, order[:limit].tolist())


def patients_of(dataset: Dataset[Any]) -> list[str]:
    """
    The patient of each item.

    Raises:

        ValueError: If they are not known.
    """
    if isinstance(dataset, Subset):
        whole = patients_of(dataset.dataset)
        return [whole[index] for index in dataset.indices]
    found = list(getattr(dataset, "patients", [None]))
    if None in found:
        raise ValueError("dataset does not know the patient of each image.")
    return found


def labels_of(dataset: Dataset[Any]) -> list[int]:
    """The label of each item."""
    if isinstance(dataset, Subset):
        whole = labels_of(dataset.dataset)
        return [whole[index] for index in dataset.indices]
    return list(dataset.targets)  # type: ignore[attr-defined]


def batches(dataset: Dataset[Any], batch_size: int, **kwargs: Any) -> DataLoader[Any]:
    """Batches (images, labels, masks), images in the layout that convolutions are fastest in."""
    return DataLoader(dataset, batch_size=batch_size, collate_fn=_channels_last, **kwargs)


def _channels_last(items: list[Any]) -> list[Tensor]:
    images, *others = default_collate(items)
    return [images.contiguous(memory_format=torch.channels_last), *others]
