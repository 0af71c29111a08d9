"""What all data sets of this package have in common."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.datasets import VisionDataset
from torchvision.transforms.v2.functional import get_size

from captum_clustered.data.masks import MaskSource

Transform = Callable[..., Any]


@dataclass(frozen=True)
class Sample:
    """One item before its files are read."""

    image: Path
    label: int
    mask: MaskSource | None = None
    patient: str | None = None


class MaskedImages(VisionDataset):
    """
    Images with labels and masks, in torchvision's conventions.

    Attributes:

        samples (list of Sample): One for each item.
        classes (list of str): Names of the labels 0, 1, ...
        class_to_idx (dict): From name to label.
        targets (list of int): Label of each item.
        patients (list of str or None): Patient of each item, None where it is not known.
        problems (list of str): What was left out or not as expected.
    """

    def __init__(
        self,
        root: Path,
        samples: Sequence[Sample],
        classes: Sequence[str],
        problems: Sequence[str] = (),
        *,
        transforms: Transform | None,
        transform: Transform | None,
        target_transform: Transform | None,
    ) -> None:
        super().__init__(str(root), transforms, transform, target_transform)
        # VisionDataset makes a joint transform of (image, target) from the other two, which
        # would not fit our three parts.
        self._joint = transforms
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
    def targets(self) -> list[int]:
        return [sample.label for sample in self.samples]

    @property
    def patients(self) -> list[str | None]:
        return [sample.patient for sample in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        sample = self.samples[index]
        with Image.open(sample.image) as file:
            image: Any = file.convert("RGB")
        parts: tuple[Any, ...] = (image, sample.label)
        if sample.mask is not None:
            # As torchvision's Mask, joint transforms move it with the image, take the
            # nearest pixel and leave its values alone.
            mask = torch.from_numpy(sample.mask.draw(image.size)).to(torch.uint8)
            parts += (tv_tensors.Mask(mask.unsqueeze(0)),)
        return self._transformed(parts)

    def _transformed(self, parts: tuple[Any, ...]) -> tuple[Any, ...]:
        if self._joint is not None:
            return tuple(self._joint(*parts))
        image, label, *masks = parts
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        for mask in masks:
            _check_size(image, mask)
        return (image, label, *masks)


def _check_size(image: Any, mask: Tensor) -> None:
    if isinstance(image, (Image.Image, Tensor)) and get_size(image) != get_size(mask):
        raise ValueError(
            f"transform changed the image's height and width to {get_size(image)}, but its mask "
            f"has {get_size(mask)}: use transforms=, a transform of torchvision.transforms.v2, "
            "which is given both."
        )


def _some(lines: Sequence[str], n: int = 3) -> str:
    """The first few."""
    more = f" ... ({len(lines) - n} more)" if len(lines) > n else ""
    return " ".join(lines[:n]) + more
