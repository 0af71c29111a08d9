"""How a layer's tensor lies in space, as far as its shape shows it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

Shape = tuple[int, ...]
# Patches of an image are at most this wide.
MAX_STRIDE = 64
# Tokens before the patches: none, a class token, one of distillation, 4 or 8 registers with and
# without a class token. Fewer rows of patches do not occur behind more than a class token.
PREFIXES = (0, 1, 2, 4, 5, 8, 9)
MIN_SIDE = 4


@dataclass(frozen=True)
class LayerKind:
    """
    How a layer's tensor lies in space.

    Attributes:

        name (str): "map", "map, channels last" or "tokens".
        channel_dim (int): The dimension of channels, as ClusteredLayerCAM takes it.
    """

    name: str
    channel_dim: int


MAP = LayerKind("map", 1)
CHANNELS_LAST = LayerKind("map, channels last", -1)
TOKENS = LayerKind("tokens", -1)


def kind_of(shape: Shape, n_prefix: int | None = None) -> LayerKind | None:
    """
    Return how a layer's tensor for a square image or a volume lies, None if it is no map.

    Nothing in a tensor marks the dimension of channels. But a square image has square maps,
    and the number of its tokens is a square, apart from the first few: n_prefix, if given.
    """
    if len(shape) == 4:
        height, width = shape[2:]
        if shape[1] == height != width and height > 1:
            return CHANNELS_LAST
        return MAP if height * width > 1 else None
    if len(shape) == 5:
        # A volume need not be a cube, but has fewer positions along an axis than channels.
        *sides, last = shape[1:]
        if len(set(sides)) == 1 and 1 < sides[0] < last:
            return CHANNELS_LAST
        return MAP if math.prod(shape[2:]) > 1 else None
    if len(shape) == 3 and (
        token_splits(shape[1]) or (n_prefix is not None and token_grid(shape[1], n_prefix))
    ):
        return TOKENS
    return None


def token_splits(n_tokens: int, image_side: int | None = None) -> list[tuple[int, int]]:
    """
    Return the ways in which tokens may be a square of patches behind others: (side, n_prefix).

    A square image, if its side is known, is preferably divided without a rest.
    """
    found = [
        (side, n_prefix)
        for n_prefix in PREFIXES
        if (side := _side(n_tokens - n_prefix)) >= (2 if n_prefix < 2 else MIN_SIDE)
    ]
    exact = [split for split in found if image_side is not None and image_side % split[0] == 0]
    return exact or found


def token_grid(
    n_tokens: int, n_prefix: int | None = None, image_side: int | None = None
) -> tuple[int, int] | None:
    """
    Return the side of the square that patch tokens form and the number of prefix tokens.

    Args:

        n_tokens (int): Number of all tokens, T.
        n_prefix (int, optional): Number of tokens before the patches.
                    Default: None (a class token, one of distillation, 4 or 8 registers, or none)
        image_side (int, optional): Height and width of the input, which tells apart what
                    several splits of the tokens are possible for.
                    Default: None (not known)

    Returns:
        tuple[int, int] or None: ``(side, n_prefix)`` for
        :func:`tokens_to_map <captum_clustered.tokens.tokens_to_map>`; None if the tokens form
        no square.

    Raises:

        ValueError: If several splits are possible.

    Examples::

        >>> token_grid(197)
        (14, 1)
        >>> token_grid(25, image_side=64)  # 4 x 4 patches, a class token and 8 registers
        (4, 9)
    """
    if n_prefix is not None:
        side = _side(n_tokens - n_prefix)
        return (side, n_prefix) if n_prefix >= 0 and side > 1 else None
    splits = token_splits(n_tokens, image_side)
    if len(splits) > 1:
        texts = [f"{side} x {side} patches behind {prefix} others" for side, prefix in splits]
        raise ValueError(
            f"{n_tokens} tokens may be {' or '.join(texts)}: give n_prefix, the number of tokens "
            "before the patches."
        )
    return splits[0] if splits else None


def _side(n_patches: int) -> int:
    """Return the side of the square that patches form, 0 if they form none."""
    side = math.isqrt(max(0, n_patches))
    return side if side * side == n_patches else 0


def warn_if_channels_last(
    tensors: Iterable[Tensor],
    inputs: Sequence[Tensor],
    channel_dim: int,
    layer_name: str,
    stacklevel: int,
) -> None:
    """
    Warn if dimension 1 of a layer is taken for its channels, and its shape says otherwise.

    The first of the model's inputs shows the size of the image. The warning is given at
    ``stacklevel``; 1 is the caller of this function.
    """
    for tensor in tensors:
        shape = tuple(tensor.shape)
        kind = _surely_channels_last(shape, tuple(inputs[0].shape))
        if kind is not None and channel_dim % len(shape) == 1:
            warnings.warn(
                f"Layer {layer_name} has shape {shape}, which looks like {kind.name}, but "
                f"dimension 1 is taken for its channels: use channel_dim={kind.channel_dim}.",
                stacklevel=stacklevel + 1,
            )
            return


def _surely_channels_last(shape: Shape, input_shape: Shape) -> LayerKind | None:
    """
    Return the kind of a layer whose channels cannot be in dimension 1.

    This is stricter than :func:`kind_of`, since the image may be of any size and the layer any
    one: what could be (N, C, *spatial) counts as such.
    """
    if len(input_shape) < 4:
        return None
    image = input_shape[-2:]
    if len(shape) == len(input_shape):
        height, width, last = shape[-3:]
        if min(height, width, last) < 2:
            return None
        if image[0] == image[1]:
            # The last two dimensions of (N, C, *spatial) would be as square as the image.
            return CHANNELS_LAST if height == width != last else None
        # No map is wider than the image, and this one has its proportions.
        is_map = _is_scaled(height, width, image) and last > max(image)
        return CHANNELS_LAST if is_map else None
    if len(shape) == 3 and len(input_shape) == 4:
        n_prefix = _prefix_of(shape[1], image)
        # With a class token there is no doubt: 197 channels do not occur.
        if n_prefix == 1 or (n_prefix is not None and not _is_length(shape[2], image)):
            return TOKENS
    return None


def _is_scaled(height: int, width: int, image: Shape) -> bool:
    """Return whether a map has an image's size divided by some stride."""
    return any(
        height in (image[0] // stride, -(-image[0] // stride))
        and width in (image[1] // stride, -(-image[1] // stride))
        for stride in range(1, MAX_STRIDE + 1)
    )


def _prefix_of(n_tokens: int, image: Shape) -> int | None:
    """Return how many tokens come before the patches of an image; None if they are no patches."""
    for stride in range(2, MAX_STRIDE + 1):
        rows, columns = image[0] // stride, image[1] // stride
        if image[0] % stride or image[1] % stride or min(rows, columns) < 4:
            continue
        if n_tokens - rows * columns in PREFIXES:
            return n_tokens - rows * columns
    return None


def _is_length(size: int, image: Shape) -> bool:
    """Return whether a last dimension could hold the positions of (N, C, T)."""
    return _prefix_of(size, image) is not None or any(
        size in (side // stride, -(-side // stride))
        for side in image
        for stride in range(1, MAX_STRIDE + 1)
    )
