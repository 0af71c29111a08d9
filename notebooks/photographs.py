"""The ImageNet network and the photographs of the notebooks: all of it comes with packages."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from skimage import data
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from captum_clustered.cli.demo import demo_model

__all__ = ["LABELS", "crops", "network", "normalized", "photographs", "square"]

# Of each photograph, what it shows and the class of ImageNet that comes next to it.
LABELS = {
    "flower": ("daisy", 985),
    "temple": ("palace", 698),
    "cat": ("Egyptian cat", 285),
    "cup": ("espresso", 967),
    "motorcycle": ("moped", 665),
    "cameraman": ("tripod", 872),
}
SIDE = 224


def network() -> nn.Module:
    """EfficientNet-lite0 for ImageNet, in evaluation mode."""
    return demo_model().module


def photographs() -> dict[str, Tensor]:
    """Six photographs by name, each (3, height, width) in [0, 1]."""
    arrays = {
        "flower": load_sample_image("flower.jpg"),
        "temple": load_sample_image("china.jpg"),
        "cat": data.chelsea(),
        "cup": data.coffee(),
        "motorcycle": data.stereo_motorcycle()[0],
        "cameraman": data.camera(),
    }
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    return {
        # The cameraman is gray.
        name: (t.permute(2, 0, 1) if t.dim() == 3 else t.expand(3, -1, -1)) / 255
        for name, t in tensors.items()
    }


def square(photograph: Tensor) -> Tensor:
    """The largest square in the middle, (3, 224, 224)."""
    side = min(photograph.shape[1:])
    top, left = ((length - side) // 2 for length in photograph.shape[1:])
    return _resized(photograph[:, top : top + side, left : left + side])


def crops(photograph: Tensor, n: int, seed: int) -> Tensor:
    """
    Random squares, every other one mirrored, (n, 3, 224, 224).

    Args:

        photograph (Tensor): (3, height, width).
        n (int): How many.
        seed (int): Of their places and sizes; the global generator is left alone.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for i, (size, down, right) in enumerate(torch.rand(n, 3, generator=generator).tolist()):
        # From three fifths of the shorter side to all of it.
        side = round((0.6 + 0.4 * size) * min(photograph.shape[1:]))
        top = round(down * (photograph.shape[1] - side))
        left = round(right * (photograph.shape[2] - side))
        crop = _resized(photograph[:, top : top + side, left : left + side])
        found.append(crop.flip(2) if i % 2 else crop)
    return torch.stack(found)


def normalized(images: Tensor) -> Tensor:
    """Images in [0, 1] as the network was trained on them."""
    return (images * 255 - 127) / 128


def _resized(image: Tensor) -> Tensor:
    size = (SIDE, SIDE)
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0].clamp(0, 1)
