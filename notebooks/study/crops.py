"""Crops around the lesion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torchvision.transforms.v2 import functional


@dataclass(frozen=True)
class SquareCrop:
    """
    Crop image and mask to a square around the lesion, before they are resized.

    A square, because resizing anything else to the network's input would change the proportions
    of the lesion, and a lesion that is taller than wide suggests malignancy. The square is moved
    into the image where the lesion is near an edge; an image that is smaller than the square is
    padded with black.

    Attributes:

        margin (float): Tissue on each side of the lesion, as a multiple of its longer side.
    """

    margin: float

    def __call__(self, image: Any, label: int, mask: Any) -> tuple[Any, int, Any]:
        """Return the cropped image, the label and the cropped mask."""
        where = torch.nonzero(mask[0])
        first, last = where.amin(0).tolist(), where.amax(0).tolist()
        longer = max(high - low + 1 for low, high in zip(first, last, strict=True))
        side = round(longer * (1 + 2 * self.margin))
        top, left = (
            _start(low, high, side, size)
            for low, high, size in zip(first, last, mask.shape[-2:], strict=True)
        )
        return (
            functional.crop(image, top, left, side, side),
            label,
            functional.crop(mask, top, left, side, side),
        )


def _start(low: int, high: int, side: int, size: int) -> int:
    """Return where the crop begins: below 0 only if the image is smaller than the crop."""
    if side > size:
        return -((side - size) // 2)
    return min(max((low + high + 1 - side) // 2, 0), size - side)
