"""What test-time augmentation does with each view, and the mean over their maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from captum._utils.common import _expand_additional_forward_args, _format_additional_forward_args
from torch import Tensor

from captum_clustered.views import OnMaps, View

Tensors = tuple[Tensor, ...]


class ShownInputs:
    """Inputs as one view shows them."""

    def __init__(self, view: View, inputs: Tensors) -> None:
        self.view = view
        with torch.no_grad():
            pairs = [view.on(tensor.detach()) for tensor in inputs]
        self.inputs = tuple(transformed for transformed, _ in pairs)
        self.back: OnMaps = pairs[0][1]
        self.sizes = [tensor.shape for tensor in self.inputs]
        self.is_turned = self.inputs[0].shape[2:] != inputs[0].shape[2:]

    def like_inputs(self, baselines: Any) -> Any:
        """Transform baselines that are tensors of the inputs' shape."""
        if isinstance(baselines, tuple):
            return tuple(map(self.like_inputs, baselines))
        if isinstance(baselines, Tensor) and baselines.dim() == self.inputs[0].dim():
            return self.view.on(baselines)[0]
        return baselines


class MeanMaps:
    """Mean of maps over the views that show a position, for each tensor of the layer."""

    def __init__(self) -> None:
        self._sums: list[Tensor] = []
        self._weights: list[Tensor] = []
        self._dtypes: list[torch.dtype] = []

    def add(self, tensors: Tensors, back: OnMaps, name: str) -> None:
        is_first = not self._sums
        for index, maps in enumerate(tensors):
            # The sum of half-precision maps would lose digits.
            wide = maps.to(torch.promote_types(maps.dtype, torch.float32))
            moved = back(wide)
            weight = back(torch.ones_like(wide[:1, :1]))
            if not (weight >= 0).all():
                raise ValueError(
                    f"inverse_on_maps of view {name!r} must give weights of at least 0 for a map "
                    "of ones."
                )
            if is_first:
                self._sums.append(moved)
                self._weights.append(weight)
                self._dtypes.append(maps.dtype)
                continue
            if moved.shape != self._sums[index].shape:
                raise ValueError(
                    f"Maps of view {name!r} have shape {tuple(moved.shape)} on the input, and "
                    f"{tuple(self._sums[index].shape)} those of the views before: the mean needs "
                    "the same grid."
                )
            self._sums[index] = self._sums[index] + moved
            self._weights[index] = self._weights[index] + weight

    def result(self) -> Tensors:
        means = []
        for total, weight, dtype in zip(self._sums, self._weights, self._dtypes, strict=True):
            means.append(torch.where(weight > 0, total / weight, 0).to(dtype).contiguous())
        return tuple(means)


def stack_views(batch: list[ShownInputs], inputs: Tensors) -> Tensors:
    """Stack the views along dimension 0; methods by gradient may need requires_grad."""
    copies = zip(*(shown.inputs for shown in batch), strict=True)
    return tuple(
        torch.cat(views).requires_grad_(tensor.requires_grad)
        for views, tensor in zip(copies, inputs, strict=True)
    )


def repeat_arguments(additional_forward_args: Any, n: int, n_views: int) -> Any:
    """Repeat tensors with n examples as Captum does, and leave others as they are."""
    return tuple(
        _expand_additional_forward_args((value,), n_views)[0]
        if isinstance(value, Tensor) and value.shape[:1] == (n,)
        else value
        for value in _format_additional_forward_args(additional_forward_args)
    )


def tensors_of(kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors among keyword arguments, with the name of the argument."""
    for name, value in kwargs.items():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, Tensor):
                yield name, item


def differs_by_view(kwargs: Mapping[str, Any], n: int) -> bool:
    """Whether an argument fits one view only: tensors like the inputs or for each example."""
    return any(
        tensor.dim() > 0 and (name == "baselines" or len(tensor) == n > 1)
        for name, tensor in tensors_of(kwargs)
    )
