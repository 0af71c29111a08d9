"""Load networks of timm by name."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from captum_clustered._errors import close_matches, needs_extra, one_line, printable
from captum_clustered.models.base import Model
from captum_clustered.models.load import TIMM
from captum_clustered.models.weights import is_path, load_weights


def load_timm(name: str, weights: str | None = None, pretrained: bool = True) -> Model:
    """Load ``timm:name`` with a file of weights, else timm's own if pretrained, else none."""
    if weights is not None and not is_path(weights):
        raise ValueError(
            f"weights={weights!r} is not a file; timm's weights are part of the model's name, such "
            "as timm:resnet18.a1_in1k."
        )
    own = pretrained and weights is None
    module = _create(name, pretrained=own)
    if weights is not None:
        load_weights(module, weights)
        weights = printable(weights)
    return Model(name, module, name if own else weights, None, _preset(name, module))


def _create(name: str, pretrained: bool) -> nn.Module:
    with needs_extra(name, "timm"):
        import timm

    short = name.removeprefix(TIMM)
    known = timm.list_models()
    if short.partition(".")[0] not in known:
        raise ValueError(f"timm has no model {short!r}.{close_matches(short, known)}")
    try:
        module: nn.Module = timm.create_model(short, pretrained=pretrained)
    except Exception as error:
        hint = " Without a connection, give the path of a file as weights." if pretrained else ""
        raise ValueError(f"{name} cannot be made: {one_line(error)}{hint}") from error
    return module


class _Squashed(ImageClassification):
    """Resizes height and width to the same size, whatever the image's shape."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.resize_size *= 2


def _preset(name: str, module: nn.Module) -> Any:
    """Return timm's way to prepare an image, in the form of torchvision's ``transforms``."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(module)
    *_, height, size = config["input_size"]
    presets = {"center": ImageClassification, "squash": _Squashed}
    mode = config["crop_mode"]
    if mode not in presets or height != size:
        raise ValueError(
            f"{name} takes images of {height} x {size}, cropped by {mode!r}; accepted are squares, "
            f"cropped by {' or '.join(map(repr, presets))}."
        )
    return functools.partial(
        presets[mode],
        crop_size=size,
        resize_size=int(size / config["crop_pct"]),
        mean=config["mean"],
        std=config["std"],
        interpolation=InterpolationMode(config["interpolation"]),
    )
