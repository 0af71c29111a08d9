"""Networks of timm by name."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from typing import Any

from torch import nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from captum_clustered._errors import UserError, close_matches, one_line, printable
from captum_clustered.models.load import TIMM, Model
from captum_clustered.models.weights import is_path, load_weights

__all__ = ["load_timm", "timm_skeleton"]


def load_timm(name: str, weights: str | None) -> Model:
    """
    Args:

        name (str): ``timm:`` and the name of a model, with the tag of its weights or without.
        weights (str, optional): File of a state dict.
                    Default: None (timm's own weights, which it downloads)

    Raises:

        UserError: If timm is not installed, there is no such model or no weights for it.
    """
    if weights is None:
        return _model(name, _create(name, pretrained=True), name)
    if not is_path(weights):
        raise UserError(
            f"--weights {weights} is no file; timm's weights are a part of the model's name, such "
            "as timm:resnet18.a1_in1k."
        )
    module = _create(name, pretrained=False)
    load_weights(module, weights)
    return _model(name, module, printable(weights))


def timm_skeleton(name: str) -> Model:
    """
    The model without its weights.

    Raises:

        UserError: As :func:`load_timm`.
    """
    return _model(name, _create(name, pretrained=False), None)


def _create(name: str, pretrained: bool) -> nn.Module:
    if find_spec("timm") is None:
        raise UserError(
            f"--model {name} needs timm, which is not installed: pip install captum_clustered[timm]"
        )
    import timm

    short = name.removeprefix(TIMM)
    known = timm.list_models()
    if short.partition(".")[0] not in known:
        raise UserError(f"timm has no model {short!r}.{close_matches(short, known)}")
    try:
        module: nn.Module = timm.create_model(short, pretrained=pretrained)
    except Exception as error:
        hint = " Without a connection, give a file with --weights PATH." if pretrained else ""
        raise UserError(f"--model {name} cannot be made: {one_line(error)}{hint}") from error
    return module


def _model(name: str, module: nn.Module, weights: str | None) -> Model:
    return Model(name, module, weights, None, _preset(name, module))


class _Squashed(ImageClassification):
    """Height and width are resized alike, whatever the picture's shape."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.resize_size *= 2


def _preset(name: str, module: nn.Module) -> Any:
    """timm's way to prepare a picture, in the form that torchvision's weights have."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(module)
    *_, height, size = config["input_size"]
    presets = {"center": ImageClassification, "squash": _Squashed}
    mode = config["crop_mode"]
    if mode not in presets or height != size:
        raise UserError(
            f"--model {name} takes pictures of {height} x {size}, cropped by {mode!r}; accepted "
            f"are squares, cropped by {' or '.join(map(repr, presets))}."
        )
    return functools.partial(
        presets[mode],
        crop_size=size,
        resize_size=int(size / config["crop_pct"]),
        mean=config["mean"],
        std=config["std"],
        interpolation=InterpolationMode(config["interpolation"]),
    )
