"""Images in batches, from tensors or from a loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Union

import torch
from torch import Tensor

from captum_clustered._storage.fingerprints import hash_tensor

Data = Union[Tensor, tuple[Tensor, ...], Iterable[Any]]
_ACCEPTED = (
    "a tensor, a tuple (inputs, labels[, masks]) of tensors, or an iterable of batches, each of "
    "them a tensor or (inputs, labels[, masks]); labels may be None"
)


@dataclass(frozen=True)
class ImageBatch:
    r"""One batch: images, and optionally true classes (N,) and boolean masks (N, 1, \*spatial)."""

    inputs: Tensor
    labels: Tensor | None = None
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, indices: list[int]) -> ImageBatch:
        """Return the examples of these indices."""
        if indices == list(range(len(self))):
            return self
        return self.apply(lambda tensor: tensor[indices])

    def to(self, device: torch.device | None) -> ImageBatch:
        """Return the batch on a device, or as it is."""
        return self if device is None else self.apply(lambda tensor: tensor.to(device))

    def apply(self, function: Callable[[Tensor], Tensor]) -> ImageBatch:
        """Return the batch with a function applied to each of its tensors."""
        labels, masks = (
            None if tensor is None else function(tensor) for tensor in (self.labels, self.masks)
        )
        return ImageBatch(function(self.inputs), labels, masks)

    def fingerprint(self) -> str:
        """Return a hash of all values."""
        tensors = (self.inputs, self.labels, self.masks)
        return " ".join("-" if tensor is None else hash_tensor(tensor) for tensor in tensors)


def batches(data: Data, batch_size: int) -> tuple[Iterator[Any], int | None]:
    """Return an iterator of what :func:`as_batch` takes, and its length if known."""
    if _is_pair_in_a_list(data):
        raise TypeError(
            "data is a list of images and labels, but a list must hold batches: give a tuple "
            "(inputs, labels[, masks])."
        )
    if isinstance(data, Tensor):
        data = (data,)
    if isinstance(data, tuple) and data and isinstance(data[0], Tensor):
        whole = as_batch(data)
        starts = range(0, len(whole), batch_size)
        parts = (whole.apply(itemgetter(slice(start, start + batch_size))) for start in starts)
        return parts, len(starts)
    if not isinstance(data, Iterable) or isinstance(data, (str, bytes, dict)):
        raise TypeError(f"data must be {_ACCEPTED}; got {type(data).__name__}.")
    try:
        total = len(data)  # type: ignore[arg-type]
    except TypeError:
        total = None
    return iter(data), total


def _is_pair_in_a_list(data: Any) -> bool:
    """Return whether it is [inputs, labels] or [inputs, labels, masks]."""
    if not isinstance(data, list) or not 2 <= len(data) <= 3:
        return False
    inputs, labels = data[:2]
    return (
        isinstance(inputs, Tensor)
        and isinstance(labels, Tensor)
        and inputs.dim() > 1
        and not labels.is_floating_point()
        and tuple(labels.shape) == (len(inputs),)
    )


def as_batch(item: Any) -> ImageBatch:
    """Return one batch of a loader, checked."""
    if isinstance(item, ImageBatch):
        return item
    parts = (item,) if isinstance(item, Tensor) else item
    if (
        not isinstance(parts, (tuple, list))
        or not 1 <= len(parts) <= 3
        or not isinstance(parts[0], Tensor)
        or not all(part is None or isinstance(part, Tensor) for part in parts[1:])
    ):
        raise TypeError(f"data must be {_ACCEPTED}; got a batch of {_kind(item)}.")
    inputs = parts[0]
    if inputs.dim() < 3 or len(inputs) == 0:
        raise ValueError(
            "data's inputs must be of shape (N, channels, *spatial) with at least one image; got "
            f"{tuple(inputs.shape)}."
        )
    labels, masks = (*parts[1:], None, None)[:2]
    labels = None if labels is None else _check_labels(labels, len(inputs))
    masks = None if masks is None else _check_masks(masks, inputs)
    return ImageBatch(inputs, labels, masks)


def _check_labels(labels: Tensor, n_examples: int) -> Tensor:
    if labels.is_floating_point() or labels.is_complex() or tuple(labels.shape) != (n_examples,):
        raise ValueError(
            f"data's labels must be integers of shape ({n_examples},), one for each image; got "
            f"{labels.dtype} of shape {tuple(labels.shape)}."
        )
    return labels.long()


def _check_masks(masks: Tensor, inputs: Tensor) -> Tensor:
    spatial = tuple(inputs.shape[2:])
    if tuple(masks.shape) == (len(inputs), *spatial):
        masks = masks.unsqueeze(1)
    if tuple(masks.shape) != (len(inputs), 1, *spatial):
        raise ValueError(
            f"data's masks must be of shape ({len(inputs)}, 1, {', '.join(map(str, spatial))}), "
            f"as large as the inputs; got {tuple(masks.shape)}."
        )
    return masks > 0


def _kind(item: Any) -> str:
    if isinstance(item, (tuple, list)):
        return f"{len(item)} items ({', '.join(type(part).__name__ for part in item)})"
    return type(item).__name__
