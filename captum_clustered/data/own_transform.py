"""A transform of one's own, and what it does to an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from captum_clustered._argument_checks import shape_of
from captum_clustered._errors import explained
from captum_clustered.data.preprocessing import Preprocessing

# Size of the test images, and three of their gray values.
WIDTH, HEIGHT = 256, 128
LEVELS = (0, 102, 255)


def as_preprocessing(transform: Callable[[Image.Image], Tensor]) -> Preprocessing:
    """
    Return a transform of your own as a :class:`Preprocessing`.

    What it does is measured on test images: how it normalizes channels, and whether it resizes
    the whole image to a square, or the shorter side before the center is cropped. If it does
    something else, maps cannot be moved back onto the original image, nor masks into the input.

    Args:

        transform (Callable): From an RGB image to the network's input (C, size, size), such as
                    ``torchvision.transforms.v2.Compose``, or ``timm.data.create_transform``.

    Raises:

        ValueError: If it fails on an image, returns something else or is random.

    Examples::

        >>> compose = v2.Compose([v2.Resize((224, 224)), v2.ToImage(),
        ...                       v2.ToDtype(torch.float32, scale=True)])
        >>> explainer = ImageExplainer(net, preprocessing=as_preprocessing(compose))
    """
    if isinstance(transform, Preprocessing):
        return transform
    name = getattr(transform, "__qualname__", type(transform).__name__)
    # Whole gray values that grow by the same step from pixel to pixel.
    down, across = (
        np.indices((HEIGHT, WIDTH)) * np.array([256 // HEIGHT, 256 // WIDTH])[:, None, None]
    )
    if not torch.equal(_applied(transform, across, name), _applied(transform, across, name)):
        raise ValueError(f"{name} is random; give the transform of evaluation.")
    flat = [_applied(transform, np.full((HEIGHT, WIDTH), v), name) for v in LEVELS]
    n_channels, size, _ = flat[0].shape
    mean, std = _statistics(*(image.flatten(1).median(1).values for image in flat))
    resize = None
    if mean:
        resized = []
        for image, n_pixels, dim in ((across, WIDTH, 1), (down, HEIGHT, 2)):
            values = _applied(transform, image, name) * torch.tensor(std).view(-1, 1, 1)
            profile = (values + torch.tensor(mean).view(-1, 1, 1)).mean(0).median(dim - 1).values
            pixels = profile.numpy() * 255 / (256 // n_pixels)
            resized.append(_resized((pixels + 0.5) / n_pixels))
        resize = _known(size, *resized)
    return Preprocessing(transform, size, mean, std, resize, n_channels, name)


def _applied(transform: Callable[..., Any], values: npt.NDArray[Any], name: str) -> Tensor:
    image = Image.fromarray(values.astype(np.uint8)).convert("RGB")
    with explained(f"{name} must be a transform of an RGB image; it fails", ValueError):
        found = transform(image)
    if not (isinstance(found, Tensor) and found.is_floating_point() and found.dim() == 3) or (
        found.shape[0] not in (1, 3) or found.shape[1] != found.shape[2]
    ):
        raise ValueError(
            f"{name} must return a float tensor of shape (C, size, size), with 1 or 3 channels; it "
            f"returned {shape_of(found)}."
        )
    return found.detach().cpu().double()


def _statistics(
    black: Tensor, gray: Tensor, white: Tensor
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, empty if these are not what is done."""
    contrast = white - black
    if not contrast.isfinite().all() or (contrast <= 0).any():
        return (), ()
    if ((gray - black) / contrast - LEVELS[1] / 255).abs().max() > 0.01:
        return (), ()
    std = 1 / contrast
    # Measured with single precision.
    mean, deviation = ([round(v, 5) for v in part.tolist()] for part in (-black * std, std))
    return tuple(mean), tuple(deviation)


def _resized(places: npt.NDArray[Any]) -> float | None:
    """Return the length of the resized side, from the place in the image of each pixel."""
    size = len(places)
    pixels = np.arange(size) + 0.5
    # Edges are blurred.
    edge = size // 16 + 1
    inner = slice(edge, size - edge)
    slope, start = np.polyfit(pixels[inner], places[inner], 1)
    is_line = np.abs(places[inner] - (start + slope * pixels[inner])).max() < 0.02
    # An odd number of pixels cannot be cropped evenly.
    is_centered = abs(start + slope * size / 2 - 0.5) < 0.002 + 0.6 * slope
    return float(1 / slope) if is_line and is_centered and slope > 0 else None


def _known(size: int, width: float | None, height: float | None) -> tuple[int, ...] | None:
    if width is None or height is None:
        return None
    if min(width, height) < 0.99 * size:
        return None
    if abs(width / height * HEIGHT / WIDTH - 1) < 0.02:
        return (round(height),)
    return (round(height), round(width))
