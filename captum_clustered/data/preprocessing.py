"""From a picture to the network's input, and back to the picture that it sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from captum_clustered._errors import UserError

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Preprocessing", "make_preprocessing"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEFAULT_SIZE = 224


@dataclass(frozen=True)
class Preprocessing:
    """
    A picture's way into the network.

    Attributes:

        transform (Callable): From an RGB picture to a normalized tensor (C, H, W).
        size (int): Height and width of that tensor.
        mean (tuple[float, ...]): Subtracted, for each channel, from values in [0, 1].
        std (tuple[float, ...]): What they are then divided by.
    """

    transform: Callable[[Image.Image], Tensor]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the network's input for one picture."""
        return (1, len(self.mean), self.size, self.size)

    def __call__(self, image: Image.Image) -> Tensor:
        """The picture as a batch of one, (1, C, H, W)."""
        return self.transform(image)[None]

    def picture(self, inputs: Tensor) -> npt.NDArray[np.uint8]:
        """What the network sees of its input (1, C, H, W), as (H, W, 3) in 0..255."""
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        values = (inputs[0].detach().cpu().float() * std + mean).clamp(0, 1) * 255
        rgb = values.round().to(torch.uint8).expand(3, -1, -1)
        return np.ascontiguousarray(rgb.permute(1, 2, 0).numpy())


def make_preprocessing(
    preset: Callable[..., Any] | None,
    n_channels: int = 3,
    size: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> Preprocessing:
    """
    Args:

        preset (Callable, optional): ``transforms`` of torchvision's weights: resizing,
                    center crop and normalization are then theirs. Without one, the
                    whole picture is resized to a square.
        n_channels (int, optional): 3, or 1 for a network of grayscale pictures.
                    Default: 3
        size (int, optional): Height and width of the input.
                    Default: None (the preset's, else 224)
        mean (tuple[float, ...], optional): One number, or one for each channel.
                    Default: None (the preset's, else ImageNet's)
        std (tuple[float, ...], optional): As mean.
                    Default: None (the preset's, else ImageNet's)

    Raises:

        UserError: If the number of means or deviations does not fit the network.
    """
    if preset is None:
        means = _channels(mean or IMAGENET_MEAN, n_channels, "mean", default=mean is None)
        stds = _channels(std or IMAGENET_STD, n_channels, "std", default=std is None)
        resize = _Resize(size or DEFAULT_SIZE, means, stds)
        return Preprocessing(resize, resize.size, means, stds)
    own = preset()
    overrides: dict[str, Any] = {}
    if size is not None:
        # The same margin is cropped off as at the size that the weights are meant for.
        margin = own.resize_size[0] / own.crop_size[0]
        overrides |= {"crop_size": size, "resize_size": round(size * margin)}
    means = _channels(mean or tuple(own.mean), n_channels, "mean")
    stds = _channels(std or tuple(own.std), n_channels, "std")
    transform = preset(mean=means, std=stds, **overrides)
    return Preprocessing(transform, transform.crop_size[0], means, stds)


@dataclass(frozen=True)
class _Resize:
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Tensor:
        if len(self.mean) == 1:
            image = image.convert("L")
        resized = F.resize(
            image, [self.size, self.size], InterpolationMode.BILINEAR, antialias=True
        )
        values = F.convert_image_dtype(F.pil_to_tensor(resized), torch.float)
        normalized: Tensor = F.normalize(values, list(self.mean), list(self.std))
        return normalized


def _channels(
    values: tuple[float, ...], n_channels: int, name: str, default: bool = False
) -> tuple[float, ...]:
    if len(values) == 1:
        return values * n_channels
    if n_channels == 1 and default:
        # What is right for colors on average is right for their average.
        return (sum(values) / len(values),)
    if len(values) != n_channels:
        raise UserError(
            f"--{name} has {len(values)} numbers, but the model's input has {n_channels} "
            f"channel{'s' if n_channels > 1 else ''}."
        )
    return values
