"""The ImageNet network and the photographs of the notebooks, from installed Python packages."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from captum_clustered import samples

__all__ = ["LABELS", "crops", "network", "normalized", "photographs", "square"]

NAMES = ("flower", "temple", "cat", "cup", "motorcycle", "cameraman")
# For each photograph, the name and the number of the closest ImageNet class.
LABELS = {
    name: (samples.PHOTOGRAPHS[name].class_name, samples.PHOTOGRAPHS[name].class_index)
    for name in NAMES
}
SIDE = 224


def network() -> nn.Module:
    """Return EfficientNet-lite0 with ImageNet weights, in evaluation mode."""
    return samples.demo_model().module


def photographs() -> dict[str, Tensor]:
    """Return six photographs by name, each (3, height, width) in [0, 1]."""
    images = samples.photographs(NAMES)
    return {name: pil_to_tensor(image) / 255 for name, image in images.items()}


def square(photograph: Tensor) -> Tensor:
    """Crop the largest central square and resize it to (3, 224, 224)."""
    side = min(photograph.shape[1:])
    top, left = ((length - side) // 2 for length in photograph.shape[1:])
    return _resized(photograph[:, top : top + side, left : left + side])


def crops(photograph: Tensor, n: int, seed: int, size: int = SIDE) -> Tensor:
    """
    Crop random squares and mirror every second one, (n, 3, size, size).

    Args:

        photograph (Tensor): (3, height, width).
        n (int): Number of crops.
        seed (int): Seed of positions and sizes. The global generator is not used.
        size (int, optional): Side of the result.
                    Default: 224
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for i, (share, down, right) in enumerate(torch.rand(n, 3, generator=generator).tolist()):
        # 60 % to 100 % of the shorter side.
        side = round((0.6 + 0.4 * share) * min(photograph.shape[1:]))
        top = round(down * (photograph.shape[1] - side))
        left = round(right * (photograph.shape[2] - side))
        crop = _resized(photograph[:, top : top + side, left : left + side], size)
        found.append(crop.flip(2) if i % 2 else crop)
    return torch.stack(found)


def normalized(images: Tensor) -> Tensor:
    """Normalize images in [0, 1] as in the training of the network."""
    return (images * 255 - 127) / 128


def _resized(image: Tensor, size: int = SIDE) -> Tensor:
    resized = F.interpolate(image[None], (size, size), mode="bilinear", antialias=True)
    return resized[0].clamp(0, 1)
