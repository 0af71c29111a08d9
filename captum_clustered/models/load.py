"""Load networks by name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Union

import torch
from torch import nn

from captum_clustered._errors import close_matches, explained, one_line, printable
from captum_clustered.models.base import Model, as_model, checked_names
from captum_clustered.models.weights import is_path, load_weights

ModelChoice = Union[str, nn.Module, Callable[[], Any]]
# Both draw random weights slowly, which are overwritten at once.
SLOW_INIT = ("googlenet", "inception_v3")
# The prefix of names of timm's models.
TIMM = "timm:"


def load_model(
    name: ModelChoice,
    weights: str | None = None,
    device: str | torch.device = "cpu",
    class_names: Sequence[str] | None = None,
) -> Model:
    """
    Load a network with its weights, classes and preprocessing.

    Args:

        name (str, Callable or torch.nn.Module): One of

                    - the name of a classification model of torchvision
                    - ``timm:name``: a model of timm
                    - ``package.module:factory``: a function without arguments that returns a
                      module, or (module, transform); the current directory is searched, too
                    - such a function, or a module

                    A module may carry names of classes, ``.class_names``, and the transform from
                    an RGB image to its input, ``.preprocess``.

        weights (str, optional): Name of torchvision's weights, or the file of a state dict,
                    .pt, .pth or .safetensors. No code in the file is run.
                    Default: None (torchvision's "DEFAULT", timm's own, or those that a
                    factory or module brings)
        device (str or torch.device, optional): Where the network is moved to.
                    Default: "cpu"
        class_names (sequence of str, optional): Names of the classes, in the order of the
                    network's outputs.
                    Default: None (those of the weights or of the module, if any)

    Returns:
        Model: The network, in evaluation mode.

    Raises:

        ValueError: If the name, the weights, the file's content or the device does not fit, or
                    the factory fails.
        FileNotFoundError: If the file of weights does not exist.
        ImportError: If the factory's module or timm cannot be imported.
        OSError: If the weights cannot be downloaded.

    Examples::

        >>> model = load_model("resnet50")
        >>> model = load_model("timm:resnet18.a1_in1k")
        >>> model = load_model("mypackage.nets:malignancy", "trained.safetensors", "cuda")
        >>> model.module(x).argmax(1)
    """
    model = _load(name, weights)
    if class_names is not None:
        model = replace(model, class_names=checked_names(class_names, "class_names"))
    with explained(f"device={str(device)!r}: {model.name} cannot be moved there", ValueError):
        place = torch.device(device)
        n_gpus = torch.cuda.device_count()
        if place.type == "cuda" and (place.index or 0) >= n_gpus:
            # Torch's own message is about drivers.
            raise ValueError(f"torch finds {n_gpus or 'no'} NVIDIA GPU{'s' * (n_gpus > 1)} here.")
        model.module.to(place)
    model.module.eval()
    return model


def load_skeleton(name: ModelChoice) -> Model:
    """
    Load a network for the shapes of its layers alone; nothing is downloaded.

    torchvision's models come without weights and, where they allow it, on the device "meta",
    which holds no numbers.

    Args:

        name (str, Callable or torch.nn.Module): As in :func:`load_model`.

    Raises:

        ValueError, ImportError: As :func:`load_model`.

    Examples::

        >>> list_layers(load_skeleton("resnet50"))
    """
    if isinstance(name, str) and ":" not in name:
        model = _zoo_skeleton(name)
    else:
        model = _load(name, None, pretrained=False)
    model.module.eval()
    return model


def _load(name: ModelChoice, weights: str | None, pretrained: bool = True) -> Model:
    if isinstance(name, str) and name.startswith(TIMM):
        from captum_clustered.models.timm import load_timm

        return load_timm(name, weights, pretrained)
    if isinstance(name, str) and ":" not in name:
        return _from_zoo(name, weights)
    return _from_factory(name, weights)


def _from_zoo(name: str, weights: str | None) -> Model:
    entry = _entry(name)
    weights = weights or "DEFAULT"
    # "ResNet50_Weights.DEFAULT" is how torchvision's documentation writes it.
    short = weights.removeprefix(f"{entry.__name__}.")
    if short in entry.__members__:
        member = entry[short]
        return _zoo_model(name, _pretrained(name, member), str(member), member)
    if not is_path(weights):
        raise ValueError(
            f"{name} has no weights {weights!r}; there are {', '.join(entry.__members__)}, or give "
            "the path of a state dict."
        )
    module = _build(name)
    load_weights(module, weights)
    return _zoo_model(name, module, printable(weights), entry.DEFAULT)


def _zoo_skeleton(name: str) -> Model:
    entry = _entry(name)
    try:
        with torch.device("meta"):
            module = _build(name)
    except NotImplementedError:
        # RegNets compute their widths with tensors, which have no numbers there.
        module = _build(name)
    return _zoo_model(name, module, None, entry.DEFAULT)


def _entry(name: str) -> Any:
    """Return the weights of a model, which exist for classifiers alone under this name."""
    from torchvision import models as zoo

    known = zoo.list_models(module=zoo)
    if name not in known:
        raise ValueError(
            f"torchvision has no image classification model {name!r}.{close_matches(name, known)} "
            "Name a model of your own as package.module:factory."
        )
    return zoo.get_model_weights(name)


def _build(name: str) -> nn.Module:
    from torchvision.models import get_model

    options = {"init_weights": False} if name in SLOW_INIT else {}
    module: nn.Module = get_model(name, weights=None, **options)
    return module


def _zoo_model(name: str, module: nn.Module, weights: str | None, meta: Any) -> Model:
    return Model(name, module, weights, meta.meta.get("categories"), meta.transforms)


def _pretrained(name: str, member: Any) -> nn.Module:
    from torchvision.models import get_model

    try:
        # The bar of the download goes to stderr.
        module: nn.Module = get_model(name, weights=member, progress=sys.stderr.isatty())
    except OSError as error:
        reason = getattr(error, "reason", None) or one_line(error)
        raise OSError(
            f"The weights {member.name} of {name} could not be downloaded from {member.url} "
            f"({reason}); give the path of a file as weights."
        ) from error
    except RuntimeError as error:
        # A download that was cut off has the wrong checksum.
        raise OSError(
            f"The weights {member.name} of {name} could not be loaded: {one_line(error)}"
        ) from error
    return module


def _from_factory(name: ModelChoice, weights: str | None) -> Model:
    title = name if isinstance(name, str) else getattr(name, "__qualname__", type(name).__name__)
    module: Any = _imported(name) if isinstance(name, str) else name
    if not isinstance(module, nn.Module):
        with explained(f"{title}: the factory failed", ValueError):
            module = module()
    parts = module if isinstance(module, tuple) and len(module) == 2 else (module,)
    if not isinstance(parts[0], nn.Module) or not all(p is None or callable(p) for p in parts):
        raise ValueError(
            f"{title}: the factory must return a torch.nn.Module or (module, transform); it "
            f"returned {type(module).__name__}."
        )
    module = parts[0]
    model = replace(as_model(module), name=title)
    if len(parts) == 2:
        model = replace(model, preprocess=parts[1])
    if weights is None:
        return model
    if not is_path(weights):
        raise ValueError(
            f"weights={weights!r} is not a file; only torchvision's models have names of weights."
        )
    load_weights(module, weights)
    return replace(model, weights=printable(weights))


def _imported(name: str) -> Callable[[], Any]:
    module_name, _, attribute = name.partition(":")
    if module_name.endswith(".py"):
        module = module_name.removesuffix(".py").replace(os.sep, ".").lstrip(".")
        raise ValueError(f"{name}: drop .py, as in an import: {module}:{attribute}.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        namespace = importlib.import_module(module_name)
    except Exception as error:
        raise ImportError(
            f"{name}: {module_name!r} cannot be imported from here: {one_line(error)}"
        ) from error
    factory = getattr(namespace, attribute, None)
    if not callable(factory):
        known = [key for key, value in vars(namespace).items() if callable(value)]
        raise ValueError(
            f"{name}: {module_name!r} has no function {attribute!r}."
            f"{close_matches(attribute, known)}"
        )
    if isinstance(factory, nn.Module):
        # It would be shared, and changed, by all that import it.
        raise ValueError(
            f"{name}: {attribute!r} is a torch.nn.Module; name a function without arguments that "
            "returns it."
        )
    return factory
