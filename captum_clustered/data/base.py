"""What all data sets of this package have in common."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from PIL import Image
from torch import Tensor, uint8
from torch.utils.data import Dataset

from captum_clustered._errors import needs_extra
from captum_clustered.data.images import read_image

Transform = Callable[..., Any]


class Transforms(TypedDict, total=False):
    """The keyword arguments that all data sets take; see :class:`MaskedImages`."""

    transform: Transform | None
    target_transform: Transform | None
    transforms: Transform | None
    loader: Callable[[Path], Image.Image]


@dataclass(frozen=True)
class Sample:
    """One item before its files are read; mask draws the mask for an image of (width, height)."""

    image: Path
    label: int
    mask: Callable[[tuple[int, int]], Tensor] | None = None
    patient: str | None = None


class MaskedImages(Dataset[tuple[Any, ...]]):
    """
    The base of the data sets: images with labels and masks, in torchvision's conventions.

    An item is (image, label, mask), or (image, label) where there is no mask: a PIL image in
    RGB as :func:`read_image` returns it, the index of the label in classes, and a
    ``torchvision.tv_tensors.Mask`` of shape (1, height, width) that is 1 inside the object.

    Args:

        root (Path): The folder of the data.
        samples (sequence of Sample): The items.
        classes (sequence of str): The names of the labels 0, 1, ...
        problems (sequence of str, optional): What was left out or is not as expected. A warning
                    shows the first ones.
                    Default: ()
        transform (Callable, optional): A transform of the image alone. If there are masks, it
                    must not change the size.
                    Default: None
        target_transform (Callable, optional): A transform of the label.
                    Default: None
        transforms (Callable, optional): A transform of image, label and mask together, such as
                    those of ``torchvision.transforms.v2``. It excludes the other two.
                    Default: None
        loader (Callable, optional): Reads an image file as RGB, such as
                    ``partial(read_image, window=(40, 400))``.
                    Default: :func:`read_image`

    Attributes:

        samples, classes, problems: As above.
        names (list of str): Path of each image, relative to root.
        class_to_idx (dict): From name to label.
        targets (list of int): Label of each item.
        patients (list of str or None): Patient of each item; None where it is not known.

    Raises:

        ValueError: If there are no samples, or transforms is given beside one of the others.
    """

    def __init__(
        self,
        root: Path,
        samples: Sequence[Sample],
        classes: Sequence[str],
        problems: Sequence[str] = (),
        *,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transform | None = None,
        loader: Callable[[Path], Image.Image] = read_image,
    ) -> None:
        if transforms is not None and (transform or target_transform) is not None:
            raise ValueError("Give either transforms or transform and target_transform, not both.")
        self.root = str(root)
        self.transform, self.target_transform = transform, target_transform
        self.transforms, self.loader = transforms, loader
        self.samples = list(samples)
        self.classes = list(classes)
        self.class_to_idx = {name: index for index, name in enumerate(classes)}
        self.problems = list(problems)
        if not self.samples:
            raise ValueError(
                f"root={str(root)!r} has no usable image for {type(self).__name__}: "
                f"{_some(self.problems) or 'its table is empty.'}"
            )
        if self.problems:
            warnings.warn(
                f"{type(self).__name__} has {len(self.samples)} images. Its attribute problems has "
                f"{len(self.problems)}: {_some(self.problems)}",
                stacklevel=3,  # where the data set was made
            )

    @property
    def names(self) -> list[str]:
        """The path of each image, relative to root."""
        return [os.path.relpath(sample.image, self.root) for sample in self.samples]

    @property
    def targets(self) -> list[int]:
        """The label of each item."""
        return [sample.label for sample in self.samples]

    @property
    def patients(self) -> list[str | None]:
        """The patient of each item; None where it is not known."""
        return [sample.patient for sample in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root!r}): {len(self)} images"

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        sample = self.samples[index]
        image: Any = self.loader(sample.image)
        parts: tuple[Any, ...] = (image, sample.label)
        if sample.mask is not None:
            with needs_extra("A data set with masks", "data"):
                from torchvision import tv_tensors

            # Joint transforms move torchvision's Mask with the image, take the nearest pixel
            # and keep its values.
            mask = sample.mask(image.size).to(uint8)
            parts += (tv_tensors.Mask(mask.unsqueeze(0)),)
        if self.transforms is not None:
            return tuple(self.transforms(*parts))
        image, label, *masks = parts
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        for mask in masks:
            _check_size(image, mask)
        return (image, label, *masks)


def _check_size(image: Any, mask: Tensor) -> None:
    if isinstance(image, Image.Image):
        size = [image.height, image.width]
    elif isinstance(image, Tensor):
        size = list(image.shape[-2:])
    else:
        return
    if size != list(mask.shape[-2:]):
        raise ValueError(
            f"transform changed the image's height and width to {size}, but its mask has "
            f"{list(mask.shape[-2:])}: use transforms=, a transform of torchvision.transforms.v2, "
            "which is given both."
        )


def _some(lines: Sequence[str], n: int = 3) -> str:
    """Return the first few."""
    more = f" ... ({len(lines) - n} more)" if len(lines) > n else ""
    return " ".join(lines[:n]) + more
