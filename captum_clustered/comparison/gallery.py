"""Small pictures of the first images and their maps, which are kept for a figure."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from captum_clustered.metrics.masking import explanation_mask

# Images in the gallery, and the pixels of their longer side.
N_IMAGES = 6
SIDE = 160


def picture(image: Tensor) -> dict[str, Any]:
    """An image (channels, height, width) in colour or grey, stretched to its own range."""
    shown = image.detach().float()
    if len(shown) != 3:
        shown = shown.mean(0, keepdim=True)
    low, high = shown.amin(), shown.amax()
    return _pack(_small((shown - low) / (high - low).clamp(min=1e-12)))


def maps_of(attributions: Tensor, inputs: Tensor) -> list[dict[str, Any]]:
    """The masks in [0, 1] that metrics see, small."""
    return [_pack(_small(mask)) for mask in explanation_mask(attributions, inputs).float()]


def unpack(packed: dict[str, Any]) -> NDArray[np.uint8]:
    """The picture (height, width, channels) as numbers from 0 to 255."""
    values = np.frombuffer(base64.b64decode(packed["bytes"]), np.uint8)
    return values.reshape(packed["shape"])


def _small(picture: Tensor) -> Tensor:
    height, width = picture.shape[1:]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return F.interpolate(picture[None], size, mode="area")[0]


def _pack(picture: Tensor) -> dict[str, Any]:
    values = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return {
        "shape": list(values.shape),
        "bytes": base64.b64encode(values.tobytes()).decode("ascii"),
    }
