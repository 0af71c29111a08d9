"""A network with its name, weights, classes and preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Union

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from captum_clustered.data.preprocessing import Preprocessing
    from captum_clustered.data.volume_preprocessing import VolumePreprocessing


@dataclass(frozen=True)
class Model:
    """
    A network and what goes with it.

    Attributes:

        name (str): Its name in messages and captions.
        module (torch.nn.Module): The network, in evaluation mode.
        weights (str, optional): Name or file of the weights.
                    Default: None (the module came with its own)
        class_names (Sequence[str], optional): Names of the classes, in the order of the
                    network's outputs.
                    Default: None (unknown)
        preset (Callable, optional): ``transforms`` of torchvision's weights, which prepare
                    images for the network.
                    Default: None (unknown)
        preprocess (Callable, optional): The network's own transform, from an RGB image to its
                    input (C, H, W).
                    Default: None (that of preset, or a guess)

    Examples::

        >>> model = Model("mine", my_network.eval(), class_names=["benign", "malignant"])
    """

    name: str
    module: nn.Module
    weights: str | None = None
    class_names: Sequence[str] | None = None
    preset: Callable[..., Any] | None = None
    preprocess: Callable[..., Any] | None = None

    @property
    def n_channels(self) -> int:
        """Channels of the network's input: 1 if its first convolution says so, else 3."""
        first = self._first_convolution
        if self.takes_volumes:
            return first.in_channels
        return 1 if first is not None and first.in_channels == 1 else 3

    @property
    def takes_volumes(self) -> bool:
        """Whether the network's first convolution has three spatial dimensions."""
        return isinstance(self._first_convolution, nn.Conv3d)

    @property
    def _first_convolution(self) -> Any:
        kinds = (nn.Conv2d, nn.Conv3d)
        return next((m for m in self.module.modules() if isinstance(m, kinds)), None)

    @property
    def device(self) -> torch.device:
        """The device of the network's first parameter, the CPU if it has none."""
        first = next(self.module.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def class_name(self, index: int) -> str:
        """Return the name of a class, or "class 3" if it is unknown."""
        if self.class_names is not None and index < len(self.class_names):
            return self.class_names[index]
        return f"class {index}"

    def preprocessing(
        self,
        size: int | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        value_range: Sequence[float] | None = None,
        window: Sequence[float] | None = None,
    ) -> Preprocessing:
        """
        Return how an image becomes the network's input.

        Args:

            size, mean, std (optional): As in :func:`captum_clustered.data.make_preprocessing`.
                        Default: None (those of the network or its weights, else a guess)
            value_range, window (optional): As in :func:`captum_clustered.data.read_image`.
                        Default: None

        Raises:

            ValueError: If size, mean or std is given and the network has its own transform.
        """
        from captum_clustered.data.gray_values import chosen_range
        from captum_clustered.data.own_transform import as_preprocessing
        from captum_clustered.data.preprocessing import make_preprocessing

        if self.preprocess is None:
            return make_preprocessing(
                self.preset, self.n_channels, size, mean, std, value_range, window
            )
        self._check_not_given(size=size, mean=mean, std=std)
        try:
            own = as_preprocessing(self.preprocess)
        except ValueError as error:
            # A module may have a method of this name that is something else.
            raise ValueError(f"{error} {self._without_transform}") from error
        return replace(own, value_range=chosen_range(value_range, window) or own.value_range)

    def volume_preprocessing(
        self,
        size: int | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        value_range: Sequence[float] | None = None,
        window: Sequence[float] | None = None,
    ) -> VolumePreprocessing:
        """
        Return how a volume becomes the network's input, as :meth:`preprocessing` of an image.

        The arguments are those of :func:`captum_clustered.data.make_volume_preprocessing`. Beside a
        transform of the network's own, value_range or window is what is black and white in figures.
        """
        from captum_clustered.data.gray_values import chosen_range
        from captum_clustered.data.volume_preprocessing import (
            as_volume_preprocessing,
            make_volume_preprocessing,
        )

        if self.preprocess is None:
            return make_volume_preprocessing(self.n_channels, size, mean, std, value_range, window)
        self._check_not_given(size=size, mean=mean, std=std)
        return as_volume_preprocessing(self.preprocess, chosen_range(value_range, window))

    @property
    def _without_transform(self) -> str:
        return f"To do without the transform of {self.name}, let a factory return (model, None)."

    def _check_not_given(self, **given: Any) -> None:
        names = [name for name, value in given.items() if value is not None]
        if names:
            raise ValueError(
                f"{', '.join(names)} cannot be given beside a transform. {self._without_transform}"
            )


AnyModel = Union[Model, nn.Module]


def as_model(model: AnyModel) -> Model:
    """Return the model, or the module as a model with the names and the transform it carries."""
    if isinstance(model, Model):
        return model
    names, preprocess = (getattr(model, each, None) for each in ("class_names", "preprocess"))
    title = type(model).__name__
    if names is not None:
        names = checked_names(names, f"class_names of {title}")
    return Model(title, model, class_names=names, preprocess=preprocess)


def checked_names(names: Any, what: str) -> list[str]:
    """Return names of classes as a list, or raise a ValueError that begins with what."""
    found = [] if isinstance(names, str) else list(names)
    if len(found) < 2 or not all(isinstance(name, str) and name.strip() for name in found):
        raise ValueError(f"{what} must be the names of two or more classes; got {names!r}.")
    return found


def example_input(model: AnyModel, size: int | None = None) -> Tensor:
    """
    Return a batch of one black image or volume, as the network takes it.

    Args:

        model (Model or torch.nn.Module): The network.
        size (int, optional): Height and width, and the third side of a volume.
                    Default: None (the size that the network or its weights ask for, else 224,
                    of a volume 96)

    Returns:
        Tensor: Zeros of shape (1, C, size, size), of a volume (1, C, size, size, size), on the
        network's device.
    """
    model = as_model(model)
    if size is None:
        # Vision transformers are built for one size, whatever their weights were trained on.
        size = getattr(model.module, "image_size", None)
    if model.takes_volumes:
        shape = model.volume_preprocessing().input_shape
        shape = shape if size is None else (*shape[:2], *(size,) * 3)
        return torch.zeros(shape, device=model.device)
    if not isinstance(size, int):
        size = model.preprocessing().size
    return torch.zeros((1, model.n_channels, size, size), device=model.device)
