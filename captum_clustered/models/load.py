"""Finding and building the network."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models as zoo

from captum_clustered._errors import UserError, close_matches, explained, one_line, printable
from captum_clustered.models.weights import is_path, load_weights

__all__ = ["Model", "load_model", "skeleton"]

# Both start with random numbers that are drawn slowly, to be overwritten at once.
SLOW_INIT = ("googlenet", "inception_v3")
# What names of timm's models begin with.
TIMM = "timm:"


@dataclass(frozen=True)
class Model:
    """
    A network and what goes with it.

    Attributes:

        name (str): As the user gave it.
        module (torch.nn.Module): In evaluation mode.
        weights (str or None): Name or file of the weights, None if a factory brings its own.
        categories (Sequence[str] or None): Names of the classes.
        preset (Callable or None): ``transforms`` of torchvision's weights.
    """

    name: str
    module: nn.Module
    weights: str | None
    categories: Sequence[str] | None
    preset: Callable[..., Any] | None

    @property
    def n_channels(self) -> int:
        """Channels of the network's input: 1 if its first convolution says so, else 3."""
        convolutions = (m for m in self.module.modules() if isinstance(m, nn.Conv2d))
        first = next(convolutions, None)
        return 1 if first is not None and first.in_channels == 1 else 3

    def class_name(self, index: int) -> str:
        """The class's name, or "class 3" where none is known."""
        if self.categories is not None and index < len(self.categories):
            return self.categories[index]
        return f"class {index}"


def load_model(name: str, weights: str | None, device: str) -> Model:
    """
    Args:

        name (str): A model of torchvision for image classification, ``timm:name`` or
                    ``package.module:factory``.
        weights (str, optional): Name of torchvision's weights or the file of a state
                    dict. None means "DEFAULT" for torchvision's models, and for a
                    factory what it returns.
        device (str): Where the network is moved to.

    Raises:

        UserError: If any of these is unknown or does not work.
    """
    if name.startswith(TIMM):
        from captum_clustered.models.timm import load_timm

        model = load_timm(name, weights)
    else:
        model = _from_factory(name, weights) if ":" in name else _from_zoo(name, weights)
    with explained(f"The model cannot be moved to --device {device}"):
        model.module.to(torch.device(device))
    model.module.eval()
    return model


def skeleton(name: str) -> tuple[Model, torch.device]:
    """
    The model as far as its layers' shapes go, and the device to run it on: torchvision's
    models without weights and, where they allow it, without numbers ("meta").
    """
    if name.startswith(TIMM):
        from captum_clustered.models.timm import timm_skeleton

        model = timm_skeleton(name)
        model.module.eval()
        return model, torch.device("cpu")
    if ":" in name:
        model = _from_factory(name, None)
        model.module.cpu().eval()
        return model, torch.device("cpu")
    entry = _entry(name)
    device = torch.device("meta")
    try:
        with device:
            module = _build(name)
    except NotImplementedError:
        # RegNets compute their widths with tensors, which have no numbers there.
        device = torch.device("cpu")
        module = _build(name)
    module.eval()
    return _zoo_model(name, module, None, entry.DEFAULT), device


def _from_zoo(name: str, weights: str | None) -> Model:
    entry = _entry(name)
    weights = weights or "DEFAULT"
    # "ResNet50_Weights.DEFAULT" is how torchvision's documentation writes it.
    short = weights.removeprefix(f"{entry.__name__}.")
    if short in entry.__members__:
        member = entry[short]
        # The bar of the download goes to stderr.
        with _downloads(member, name):
            module = zoo.get_model(name, weights=member, progress=sys.stderr.isatty())
        return _zoo_model(name, module, f"{entry.__name__}.{member.name}", member)
    if not is_path(weights):
        raise UserError(
            f"{name} has no weights {weights!r}; there are {', '.join(entry.__members__)}, or give "
            "the path of a state dict."
        )
    module = _build(name)
    load_weights(module, weights)
    return _zoo_model(name, module, printable(weights), entry.DEFAULT)


def _entry(name: str) -> Any:
    """The weights of a model, which exist for classifiers alone under this name."""
    known = zoo.list_models(module=zoo)
    if name not in known:
        raise UserError(
            f"torchvision has no image classification model {name!r}.{close_matches(name, known)} "
            "A model of your own is given as package.module:factory."
        )
    return zoo.get_model_weights(name)


def _build(name: str) -> nn.Module:
    options = {"init_weights": False} if name in SLOW_INIT else {}
    module: nn.Module = zoo.get_model(name, weights=None, **options)
    return module


def _zoo_model(name: str, module: nn.Module, weights: str | None, meta: Any) -> Model:
    return Model(name, module, weights, meta.meta.get("categories"), meta.transforms)


@contextmanager
def _downloads(member: Any, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = getattr(error, "reason", None) or one_line(error)
        raise UserError(
            f"The weights {member.name} of {name} could not be downloaded from {member.url} "
            f"({reason}); give a file with --weights PATH."
        ) from error
    except RuntimeError as error:
        # A download that was cut off has the wrong checksum.
        raise UserError(
            f"The weights {member.name} of {name} could not be loaded: {one_line(error)}"
        ) from error


def _from_factory(name: str, weights: str | None) -> Model:
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        namespace = importlib.import_module(module_name)
    except Exception as error:
        raise UserError(
            f"--model {name}: {module_name!r} cannot be imported from here: {one_line(error)}"
        ) from error
    factory = getattr(namespace, attribute, None)
    if not callable(factory):
        known = [key for key, value in vars(namespace).items() if callable(value)]
        raise UserError(
            f"--model {name}: {module_name!r} has no function {attribute!r}."
            f"{close_matches(attribute, known)}"
        )
    if isinstance(factory, nn.Module):
        raise UserError(
            f"--model {name}: {attribute!r} is a torch.nn.Module; name a function without "
            "arguments that returns it."
        )
    with explained(f"--model {name}: {attribute}() failed"):
        module = factory()
    if not isinstance(module, nn.Module):
        raise UserError(
            f"--model {name}: {attribute}() must return a torch.nn.Module; it returned "
            f"{type(module).__name__}."
        )
    if weights is not None:
        if not is_path(weights):
            raise UserError(
                f"--weights {weights} is no file; only torchvision's models have names of weights."
            )
        load_weights(module, weights)
    return Model(name, module, None if weights is None else printable(weights), None, None)
