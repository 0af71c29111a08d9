"""The images of the command compare: a folder, a table or a known data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from captum_clustered._errors import UserError, as_user_error
from captum_clustered.data.base import MaskedImages
from captum_clustered.data.image_list import ImageList
from captum_clustered.data.preprocessing import Preprocessing
from captum_clustered.data.registry import read_for_network

__all__ = ["list_images"]


def list_images(
    images: Path,
    labels: Path | None,
    masks: Path | None,
    dataset: str | None,
    split: str | None,
    preprocessing: Preprocessing,
    classes: Sequence[str] | None,
    n_classes: int | None,
) -> ImageList | MaskedImages:
    """List the images, labels and masks that the options name."""
    if dataset is not None:
        if labels is not None or masks is not None:
            raise UserError("--dataset has its own labels and masks: omit --labels and --masks.")
        with as_user_error(f"--dataset {dataset}"):
            return read_for_network(dataset, images, split, preprocessing, classes, n_classes)
    if split is not None:
        raise UserError(f"--split {split} needs --dataset.")
    return ImageList(
        images,
        transform=preprocessing,
        classes=classes,
        n_classes=n_classes,
        labels=labels,
        masks=masks,
        recursive=False,
    )
