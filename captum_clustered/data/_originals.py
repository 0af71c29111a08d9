"""Images of a data set as figures show them, read again."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captum_clustered.data.base import MaskedImages
from captum_clustered.data.image_list import ImageList
from captum_clustered.data.preprocessing import Preprocessing


@dataclass(frozen=True)
class JointPreprocessing:
    """A preprocessing as ``transforms`` of a data set: of image, label and mask together."""

    preprocessing: Preprocessing

    def __call__(self, image: Image.Image, label: int, mask: Any) -> tuple[Any, ...]:
        """Return the network's input, the label and the mask in it."""
        return self.preprocessing(image), label, self.preprocessing.mask(mask[0].bool())[None]


@dataclass(frozen=True)
class Original:
    """An image as it was before preprocessing, or the network's input if that cannot be undone."""

    picture: NDArray[np.uint8]  # (H, W, 3)
    seen: tuple[float, ...] = (0.0, 0.0, 1.0, 1.0)  # the part of it that the network saw
    mask: NDArray[np.bool_] | None = None  # the object, (H, W)

    @classmethod
    def read(
        cls, images: ImageList | MaskedImages, index: int, preprocessing: Preprocessing
    ) -> Original:
        """Read an item and, if it has one, its mask."""
        if isinstance(images, ImageList):
            image = images.image(index)
            masks = [images.mask(index, image.size)] if images.has_masks else []
        else:
            raw = copy(images)
            raw.transforms = None
            image, _, *masks = raw[index]
        shown = preprocessing.shown(image)
        if shown is None:
            inputs, _, *masks = images[index]
            return cls(preprocessing.picture(inputs), mask=masks[0][0].numpy() if masks else None)
        picture, seen = shown
        if not masks:
            return cls(picture, seen)
        mask = Image.fromarray(np.asarray(masks[0]).squeeze().astype(bool))
        resized = mask.resize(picture.shape[1::-1], Image.Resampling.NEAREST)
        return cls(picture, seen, np.array(resized))
