"""A network with its name, weights, classes and preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Union

import torch
from torch import Tensor, nn

__all__ = ["AnyModel", "Model", "as_model", "example_input"]

USUAL_SIZE = 224


@dataclass(frozen=True)
class Model:
    """
    A network and what goes with it.

    Attributes:

        name (str): Its name in messages and captions.
        module (torch.nn.Module): The network, in evaluation mode.
        weights (str, optional): Name or file of the weights.
                    Default: None (the module came with its own)
        categories (Sequence[str], optional): Names of the classes.
                    Default: None (unknown)
        preset (Callable, optional): ``transforms`` of torchvision's weights, which prepare
                    images for the network.
                    Default: None (unknown)

    Examples::

        >>> model = Model("mine", my_network.eval(), categories=["benign", "malignant"])
    """

    name: str
    module: nn.Module
    weights: str | None = None
    categories: Sequence[str] | None = None
    preset: Callable[..., Any] | None = None

    @property
    def n_channels(self) -> int:
        """Channels of the network's input: 1 if its first convolution says so, else 3."""
        convolutions = (m for m in self.module.modules() if isinstance(m, nn.Conv2d))
        first = next(convolutions, None)
        return 1 if first is not None and first.in_channels == 1 else 3

    @property
    def device(self) -> torch.device:
        """The device of the network's first parameter, the CPU if it has none."""
        first = next(self.module.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def class_name(self, index: int) -> str:
        """Return the name of a class, or "class 3" if it is unknown."""
        if self.categories is not None and index < len(self.categories):
            return self.categories[index]
        return f"class {index}"


AnyModel = Union[Model, nn.Module]


def as_model(model: AnyModel) -> Model:
    """Return the model, or the module as a model that has the name of its class."""
    return model if isinstance(model, Model) else Model(type(model).__name__, model)


def example_input(model: AnyModel, size: int | None = None) -> Tensor:
    """
    Return a batch of one black image, as the network takes it.

    Args:

        model (Model or torch.nn.Module): The network.
        size (int, optional): Height and width.
                    Default: None (the size that the network or its weights ask for, else 224)

    Returns:
        Tensor: Zeros of shape (1, C, size, size) on the network's device.
    """
    model = as_model(model)
    if size is None:
        # Vision transformers are built for one size, whatever their weights were trained on.
        size = getattr(model.module, "image_size", None)
    if not isinstance(size, int):
        size = USUAL_SIZE if model.preset is None else model.preset().crop_size[0]
    return torch.zeros((1, model.n_channels, size, size), device=model.device)
