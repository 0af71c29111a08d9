"""Small pictures of the first images and their maps, which are kept for a figure."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from captum_clustered.comparison.pictures import as_bytes, shrunk, stretched
from captum_clustered.metrics._masking import explanation_mask

# Images in the gallery, and the pixels of their longer side.
N_IMAGES = 6
SIDE = 160


def picture(image: Tensor) -> dict[str, Any]:
    """An image (channels, height, width) in color or gray, stretched to its own range."""
    return _pack(stretched(image))


def maps_of(attributions: Tensor, inputs: Tensor) -> list[dict[str, Any]]:
    """The masks in [0, 1] that metrics see, small."""
    return [_pack(mask) for mask in explanation_mask(attributions, inputs).float()]


def unpack(packed: dict[str, Any]) -> NDArray[np.uint8]:
    """The picture (height, width, channels) as numbers from 0 to 255."""
    values = np.frombuffer(base64.b64decode(packed["bytes"]), np.uint8)
    return values.reshape(packed["shape"])


def _pack(picture: Tensor) -> dict[str, Any]:
    values = as_bytes(shrunk(picture[None], SIDE))[0]
    return {
        "shape": list(values.shape),
        "bytes": base64.b64encode(values.tobytes()).decode("ascii"),
    }
