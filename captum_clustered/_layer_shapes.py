"""How a layer's tensor lies in space, as far as its shape shows it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = [
    "CHANNELS_LAST",
    "MAP",
    "TOKENS",
    "LayerKind",
    "kind_of",
    "token_grid",
    "warn_if_channels_last",
]

Shape = tuple[int, ...]
# Patches of an image are at most this wide.
MAX_STRIDE = 64


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


def kind_of(shape: Shape) -> LayerKind | None:
    """
    Return how a layer's tensor for a square image lies in space, None if it is no map.

    Nothing in a tensor marks the dimension of channels. But a square image has square maps,
    and the number of its tokens is a square, apart from a class token.
    """
    if len(shape) == 4:
        height, width = shape[2:]
        if shape[1] == height != width and height > 1:
            return CHANNELS_LAST
        return MAP if height * width > 1 else None
    if len(shape) == 3 and token_grid(shape[1]):
        return TOKENS
    return None


def token_grid(n_tokens: int) -> tuple[int, int] | None:
    """
    Return the side of the square that patch tokens form and the number of prefix tokens.

    Args:

        n_tokens (int): Number of all tokens, T.

    Returns:
        tuple[int, int] or None: ``(side, n_prefix)`` for
        :func:`tokens_to_map <captum_clustered.tokens.tokens_to_map>`, with 0 or 1 prefix token;
        None if the tokens form no square.

    Examples::

        >>> token_grid(197)
        (14, 1)
    """
    for n_prefix in (0, 1):
        side = math.isqrt(max(0, n_tokens - n_prefix))
        if side > 1 and side * side == n_tokens - n_prefix:
            return side, n_prefix
    return None


def warn_if_channels_last(
    tensors: Iterable[Tensor],
    inputs: Sequence[Tensor],
    channel_dim: int,
    layer_name: str,
    stacklevel: int,
) -> None:
    """
    Warn if dimension 1 of a layer is taken for its channels, and its shape says otherwise.

    Args:

        tensors (iterable of Tensor): The layer's tensors.
        inputs (sequence of Tensor): The model's inputs, of which the first shows the image's
                    size.
        channel_dim (int): As ClusteredLayerCAM has it.
        layer_name (str): The layer in the message.
        stacklevel (int): As in :func:`warnings.warn`; 1 is the caller of this function.
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
        # A class token, one of distillation, four registers.
        if n_tokens - rows * columns in (0, 1, 2, 5):
            return n_tokens - rows * columns
    return None


def _is_length(size: int, image: Shape) -> bool:
    """Return whether a last dimension could hold the positions of (N, C, T)."""
    return _prefix_of(size, image) is not None or any(
        size in (side // stride, -(-side // stride))
        for side in image
        for stride in range(1, MAX_STRIDE + 1)
    )
