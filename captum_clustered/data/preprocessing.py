"""From an image to the network's input, and back onto the image."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from captum_clustered.data.gray_values import chosen_range
from captum_clustered.data.images import read_image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEFAULT_SIZE = 224
# Longer side of original images in figures, which have less room for them.
LARGEST = 1024


@dataclass(frozen=True)
class Preprocessing:
    """
    A transform from an image to the network's input, with its inverse for maps and masks.

    It resizes the image, crops the center and normalizes the channels. Calling it returns the
    input (C, size, size), as a transform of torchvision does.

    Attributes:

        transform (Callable): From an RGB image to the normalized tensor (C, size, size).
        size (int): Height and width of that tensor.
        mean (tuple[float, ...]): Subtracted from each channel; values are in [0, 1] before.
                    Empty if the transform does something else.
        std (tuple[float, ...]): Each channel is then divided by it.
        resize (tuple[int, ...], optional): Height and width to which the image is resized, or
                    its shorter side before the center is cropped.
                    Default: None (not known)
        n_channels (int): Channels of the input.
        name (str): What the transform is called, if it is the network's own.
        guesses (tuple[str, ...]): Those of "size", "mean" and "std" that nobody gave.
        value_range (tuple[float, float], optional): The values in files that become 0 and 255.
                    Default: None (as :func:`read_image` says)

    Examples::

        >>> preprocessing = make_preprocessing(ResNet50_Weights.DEFAULT.transforms)
        >>> image = read_image("scan.png")
        >>> attribution = cam.attribute(preprocessing(image)[None], target=1)  # (1, 1, 7, 7)
        >>> on_image = preprocessing.to_image(attribution, (image.height, image.width))
    """

    transform: Callable[[Image.Image], Tensor]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: tuple[int, ...] | None = None
    n_channels: int = 3
    name: str = ""
    guesses: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """The shape of the network's input for one image, (1, C, size, size)."""
        return (1, self.n_channels, self.size, self.size)

    @property
    def description(self) -> str:
        """What is done to an image, in one line; guesses are called so."""
        square, sides = f"{self.size} x {self.size}", " x ".join(map(str, self.resize or ()))
        if self.resize is None:
            parts = [f"input of {square}, placed in a way that is not known"]
        else:
            parts = [f"{'shorter side ' if len(self.resize) == 1 else ''}resized to {sides}"]
            parts += [f"center cropped to {square}"] if sides != square else []
        if self.n_channels == 1:
            parts.append("gray")
        if self.mean:
            parts.append("values from 0 to 1")
            if any(self.mean) or set(self.std) != {1}:
                parts += [f"minus {_listed(self.mean)}", f"divided by {_listed(self.std)}"]
        else:
            parts.append("values changed in a way that is not known")
        if self.value_range is not None:
            parts.insert(0, "gray values {:g} to {:g} shown".format(*self.value_range))
        text = ", ".join(parts)
        if self.name:
            text = f"{self.name}: {text}"
        return f"{text} ({', '.join(self.guesses)}: a guess)" if self.guesses else text

    @property
    def identity(self) -> str:
        """The same text for the same preprocessing, in every process."""
        # The text of a transform of one's own may hold an address. Spaces have no meaning.
        if self.name:
            return self.description
        shown = "" if self.value_range is None else f" of values {self.value_range}"
        return " ".join(repr(self.transform).split()) + shown

    def read(self, path: str | os.PathLike[str]) -> Image.Image:
        """Read an image file by :func:`read_image`, with this range of values."""
        return read_image(path, self.value_range)

    def __call__(self, image: Image.Image) -> Tensor:
        """Return the network's input for an image, (C, size, size)."""
        return self.transform(image)

    def mask(self, mask: Tensor) -> Tensor:
        """
        Resize and crop a mask as its image, without interpolation.

        Args:

            mask (Tensor): Boolean, (height, width) of the image.

        Returns:
            Tensor: Boolean, (size, size).
        """
        height, width = self._resized(mask.shape[0], mask.shape[1])
        picture = Image.fromarray(mask.cpu().numpy().astype(np.uint8))
        resized = np.array(picture.resize((width, height), Image.Resampling.NEAREST), bool)
        cropped = torch.zeros(self.size, self.size, dtype=torch.bool)
        (rows, seen_rows), (columns, seen_columns) = map(self._overlap, (height, width))
        cropped[seen_rows, seen_columns] = torch.from_numpy(resized[rows, columns])
        return cropped

    def to_image(self, values: Tensor, image_size: tuple[int, int], fill: float = 0.0) -> Tensor:
        """
        Map an attribution or a mask of the network's input back onto the original image.

        Args:

            values (Tensor): A map (..., h, w). A layer's map, smaller than the input, covers
                        the whole input. Numbers are interpolated bilinearly, and a boolean
                        mask takes the nearest value.
            image_size (tuple[int, int]): Height and width of the original image.
            fill (float, optional): The value where the image was cropped and the network saw
                        nothing, such as ``float("nan")``.
                        Default: 0.0

        Returns:
            Tensor: (..., height, width), of the type of values.
        """
        if len(image_size) != 2 or min(image_size) < 1:
            raise ValueError(f"image_size={image_size!r} must be the image's height and width.")
        mode = "nearest-exact" if values.dtype is torch.bool else "bilinear"
        maps = values.detach().reshape(1, -1, *values.shape[-2:])
        maps = maps if maps.is_floating_point() else maps.to(torch.float32)
        seen = interpolate(maps, (self.size, self.size), mode=mode)
        height, width = self._resized(*image_size)
        canvas = seen.new_full((*seen.shape[:2], height, width), fill)
        (rows, seen_rows), (columns, seen_columns) = map(self._overlap, (height, width))
        canvas[..., rows, columns] = seen[..., seen_rows, seen_columns]
        found = interpolate(canvas, tuple(image_size), mode=mode)
        return found.reshape(*values.shape[:-2], *image_size).to(values.dtype)

    def seen(self, image_size: tuple[int, int]) -> tuple[float, float, float, float]:
        """
        Return the part of an image that the network sees, for drawing.

        Args:

            image_size (tuple[int, int]): Height and width of the image.

        Returns:
            tuple: Top, left, bottom and right, in shares of the image's height and width; they
            lie outside of [0, 1] where the image was padded.

        Raises:

            ValueError: If it is not known where the transform places an image.
        """
        ends = []
        for side in self._resized(*image_size):
            (rows, in_crop) = self._overlap(side)
            start = rows.start - in_crop.start
            ends.append((start / side, (start + self.size) / side))
        (top, bottom), (left, right) = ends
        return top, left, bottom, right

    def shown(
        self, image: Image.Image
    ) -> tuple[npt.NDArray[np.uint8], tuple[float, float, float, float]] | None:
        """
        Return an image for figures, (H, W, 3) and at most 1024 long, and the part that is seen.

        It is None if it is not known where the transform places an image.
        """
        if self.resize is None:
            return None
        seen = self.seen((image.height, image.width))
        image = image.convert("RGB")
        image.thumbnail((LARGEST, LARGEST))
        return np.array(image), seen

    def picture(self, inputs: Tensor) -> npt.NDArray[np.uint8]:
        """Return what the network sees of an input ([1,] C, H, W), as (H, W, 3) in 0..255."""
        values = inputs.detach().cpu().float().reshape(-1, *inputs.shape[-2:])
        if self.mean:
            mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        else:
            # From the lowest value, black, to the highest.
            std = 1 / (values.max() - values.min()).clamp_min(1e-12)
            mean = -values.min() * std
        rgb = ((values * std + mean).clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1)
        return np.ascontiguousarray(rgb.permute(1, 2, 0).numpy())

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of an image that was resized and is not cropped yet."""
        if self.resize is None:
            raise ValueError(
                f"It is not known where {self.name or 'the transform'} places an image, so a mask "
                "cannot be moved with it, nor a map back; use make_preprocessing(...)."
            )
        if len(self.resize) == 2:
            return self.resize[0], self.resize[1]
        (side,) = self.resize
        # Rounded down, as torchvision does.
        long = int(side * max(height, width) / min(height, width))
        return (side, long) if height <= width else (long, side)

    def _overlap(self, side: int) -> tuple[slice, slice]:
        """Return the part of a resized side that the crop covers, and its place in the crop."""
        # Torchvision pads what is smaller than the crop.
        pad = max(self.size - side, 0) // 2
        start = round(max(side - self.size, 0) / 2)
        length = min(side, self.size)
        return slice(start, start + length), slice(pad, pad + length)


def make_preprocessing(
    preset: Callable[..., Any] | None = None,
    n_channels: int = 3,
    size: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    value_range: Sequence[float] | None = None,
    window: Sequence[float] | None = None,
) -> Preprocessing:
    """
    Build the preprocessing of a network.

    Args:

        preset (Callable, optional): ``transforms`` of torchvision's weights.
                    Default: None (the whole image is resized to a square)
        n_channels (int, optional): 3, or 1 for a network of grayscale images.
                    Default: 3
        size (int, optional): Height and width of the input.
                    Default: None (the preset's, else 224)
        mean (tuple[float, ...], optional): One number, or one for each channel.
                    Default: None (the preset's, else ImageNet's)
        std (tuple[float, ...], optional): As mean.
                    Default: None (the preset's, else ImageNet's)
        value_range, window (sequence of float, optional): As in :func:`read_image`, for files
                    that are read with this preprocessing.
                    Default: None

    Returns:
        Preprocessing: The transform.

    Raises:

        ValueError: If the number of means or deviations does not fit the network, or a
                    deviation is not above zero.

    Examples::

        >>> preprocessing = make_preprocessing(size=384, mean=(0.5,), std=(0.5,))
        >>> inputs = preprocessing(read_image("scan.png"))[None]
    """
    if std is not None and not all(value > 0 for value in std):
        raise ValueError(f"std={std} must be above 0: pixel values are divided by it.")
    shown = chosen_range(value_range, window)
    values = {"size": size, "mean": mean, "std": std}
    guesses = tuple(name for name, value in values.items() if value is None)
    if preset is None:
        means = of_channels(mean or IMAGENET_MEAN, n_channels, "mean", default=mean is None)
        stds = of_channels(std or IMAGENET_STD, n_channels, "std", default=std is None)
        side = size or DEFAULT_SIZE
        resize = _Resize(side, means, stds)
        return Preprocessing(
            resize, side, means, stds, (side, side), n_channels, guesses=guesses, value_range=shown
        )
    own = preset()
    overrides: dict[str, Any] = {}
    if size is not None:
        # The same margin is cropped as at the size that the weights are meant for.
        margin = own.resize_size[0] / own.crop_size[0]
        overrides |= {"crop_size": size, "resize_size": round(size * margin)}
    means = of_channels(mean or tuple(own.mean), n_channels, "mean")
    stds = of_channels(std or tuple(own.std), n_channels, "std")
    transform = preset(mean=means, std=stds, **overrides)
    resized = tuple(transform.resize_size)
    side = transform.crop_size[0]
    return Preprocessing(transform, side, means, stds, resized, n_channels, value_range=shown)


@dataclass(frozen=True)
class _Resize:
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Tensor:
        image = image.convert("L") if len(self.mean) == 1 else image
        resized = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        values = np.asarray(resized, np.float32).reshape(self.size, self.size, -1) / 255
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (torch.from_numpy(values).permute(2, 0, 1) - mean) / std


def _listed(numbers: tuple[float, ...]) -> str:
    texts = [f"{number:.4g}" for number in numbers]
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)


def of_channels(
    values: tuple[float, ...], n_channels: int, name: str, default: bool = False
) -> tuple[float, ...]:
    """Return one number for each channel; with default, a gray channel has the colors' mean."""
    if len(values) == 1:
        return values * n_channels
    if n_channels == 1 and default:
        # What is right for colors on average is right for their average.
        return (sum(values) / len(values),)
    if len(values) != n_channels:
        raise ValueError(
            f"{name} has {len(values)} numbers, but the model's input has {n_channels} "
            f"channel{'s' if n_channels > 1 else ''}."
        )
    return values
