"""The methods that are compared, by name."""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from captum.attr import LayerAttribution, LayerGradCam, LayerGradientXActivation
from torch import Tensor
from torch.nn import Module

from captum_clustered._maps import ClusterAttribution, cluster_attribution
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.comparison.channel_ablation import ChannelAblation
from captum_clustered.comparison.choices import chosen, unknown
from captum_clustered.comparison.controls import (
    CenterGaussian,
    FakeCAM,
    MaskMap,
    MeanActivation,
    RandomMap,
)
from captum_clustered.comparison.data import Batch
from captum_clustered.comparison.forward import CountedForward, Forward
from captum_clustered.comparison.peers import PEERS, PeerCAM, peers_installed
from captum_clustered.scores import ScoreWrapper, model_of

Factory = Callable[[Forward, Module], LayerAttribution]

CLUSTERED = "ClusteredLayerCAM"
# They run the model for every channel of the layer.
SLOW = ("LayerFeatureAblation", "ScoreCAM", "AblationCAM")
_CAPTUM: dict[str, Factory] = {
    "LayerGradCam": LayerGradCam,
    "LayerGradientXActivation": LayerGradientXActivation,
    "LayerFeatureAblation": ChannelAblation,
}
CONTROLS = ("Fake-CAM", "random", "center Gaussian", "mean activation")
MASK_CONTROL = "mask"
# What may follow ClusteredLayerCAM, and the argument that it sets.
_VARIANTS = (
    (re.compile(r"n_clusterings (\d+)"), "n_clusterings"),
    (re.compile(r"(\d+) clusters"), "clusterer"),
    (re.compile(r"(shapley|ablation)"), "importance"),
    (re.compile(r"(drop|density)"), "scaling"),
)


@dataclass
class Method:
    """
    A method under its name in the tables.

    Attributes:

        name (str): Name.
        build (Callable): Makes the attribution; may fail, as may all that follows.
        is_control (bool): Whether it explains nothing.
        settings (str): What tells it from another method of the same name.
    """

    name: str
    build: Callable[[], tuple[LayerAttribution, CountedForward]]
    is_control: bool = False
    settings: str = ""
    _built: tuple[LayerAttribution, CountedForward] | Exception | None = field(
        default=None, repr=False
    )

    def built(self) -> tuple[LayerAttribution, CountedForward]:
        """The attribution and the counter of its forward passes."""
        if self._built is None:
            try:
                self._built = self.build()
            except Exception as error:  # noqa: BLE001
                # Not to be tried again for each image.
                self._built = error
        if isinstance(self._built, Exception):
            # Else the traceback would grow, and hold on to a batch, each time.
            raise self._built.with_traceback(None)
        return self._built

    def rows(self) -> float:
        """Examples that went through the model so far."""
        if not isinstance(self._built, tuple):
            return 0.0
        return float(self._built[1].rows)

    def explain(
        self, batch: Batch, target: Tensor, at_input: bool
    ) -> tuple[Tensor, ClusterAttribution | None]:
        """
        The maps of a batch, shape (N, 1, \\*spatial), at least float32; and what is behind
        them, for a ClusteredLayerCAM.

        Raises:

            ValueError: If they do not have the images' dimensions, are empty, complex or not
                        finite.
        """
        attribution, _ = self.built()
        if isinstance(attribution, MaskMap):
            attribution.masks = batch.masks
        # If a subclass changes attribute(), its map need not be the sum of the clusters' maps.
        if getattr(type(attribution), "attribute", None) is not ClusteredLayerCAM.attribute:
            return attribute(attribution, batch.inputs, target, at_input), None
        result = cluster_attribution(
            cast(ClusteredLayerCAM, attribution),
            _ready(attribution, batch.inputs),
            target,
            attribute_to_layer_input=at_input,
        )
        return _checked(result.attributions(), batch.inputs), result


def attribute(
    attribution: LayerAttribution, inputs: Tensor, target: Tensor, at_input: bool
) -> Tensor:
    """The maps of any layer attribution, summed over channels and checked."""
    kwargs: dict[str, Any] = {}
    parameters = inspect.signature(attribution.attribute).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if "target" in parameters or takes_any:
        kwargs["target"] = target
    if "attribute_to_layer_input" in parameters or takes_any:
        kwargs["attribute_to_layer_input"] = at_input
    elif at_input:
        raise ValueError("it has no attribute_to_layer_input, which is True here.")
    with torch.enable_grad():
        maps = attribution.attribute(_ready(attribution, inputs), **kwargs)
    return _checked(maps, inputs)


def _checked(maps: Any, inputs: Tensor) -> Tensor:
    if isinstance(maps, tuple) and len(maps) == 1:
        maps = maps[0]
    if not isinstance(maps, Tensor) or maps.dim() != inputs.dim() or len(maps) != len(inputs):
        shape = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(
            "its attribution must be one tensor (N, channels, *spatial) with the images' number "
            f"of dimensions; got {shape} for images {tuple(inputs.shape)}. Tokens are arranged by "
            "tokens_to_map."
        )
    if not maps.numel() or maps.is_complex():
        raise ValueError(
            "its attribution must be of real numbers and not empty; got "
            f"{maps.dtype} of shape {tuple(maps.shape)}."
        )
    # Before the sum, which half precision could not hold.
    maps = maps.detach().to(torch.promote_types(maps.dtype, torch.float32))
    maps = maps.sum(1, keepdim=True)
    if not torch.isfinite(maps).all():
        raise ValueError("its attribution has values that are not finite.")
    return maps


def _ready(attribution: LayerAttribution, inputs: Tensor) -> Tensor:
    """A copy of the inputs, from which a gradient can flow even if all parameters are frozen."""
    model = model_of(attribution.forward_func)
    frozen = model is not None and not any(p.requires_grad for p in model.parameters())
    # A method may change what it is given; the images are the user's.
    copy_of_inputs = inputs.detach().clone()
    return copy_of_inputs.requires_grad_() if frozen else copy_of_inputs


def make_methods(
    methods: Any, scored: Forward, layer: Module, reference: str | None, has_masks: bool, seed: int
) -> list[Method]:
    """
    The methods to run, in the order of the tables: those asked for, then the controls.

    Raises:

        TypeError, ValueError: If a method is not known or no LayerAttribution.
        ImportError: If a method's package is not installed.
    """
    given = chosen("methods", default_methods() if methods is None else methods)
    controls = [*CONTROLS, MASK_CONTROL] if has_masks else list(CONTROLS)
    if reference is not None and reference not in [*given, *controls]:
        given = {**_reference(reference, given), **given}
    found = []
    for name, value in given.items():
        if name in (*CONTROLS, MASK_CONTROL):
            if value is not None:
                raise ValueError(f"methods has {name!r}, which is the name of a control.")
            if name not in controls:
                raise ValueError(f"methods has {name!r}, which needs masks in data.")
        elif value is None:
            factory = _factory(name, known())
            found.append(Method(name, _build(factory, scored, layer), settings=name))
        else:
            found.append(_users(name, value, scored, layer))
    for name in controls:
        build = _build(_control(name, seed), scored, layer)
        found.append(Method(name, build, is_control=True, settings=name))
    return found


def known() -> list[str]:
    """All names that can be asked for."""
    return [CLUSTERED, f"{CLUSTERED}, n_clusterings 10", *_CAPTUM, *PEERS, *CONTROLS, MASK_CONTROL]


def default_methods() -> list[str]:
    """The names of those that are run unless others are asked for, without the controls."""
    peers = [name for name in PEERS if name not in SLOW] if peers_installed() else []
    captum = [name for name in _CAPTUM if name not in SLOW]
    return [CLUSTERED, f"{CLUSTERED}, n_clusterings 10", *captum, *peers]


def _reference(name: str, given: dict[str, Any]) -> dict[str, None]:
    try:
        _factory(name, known())
    except ValueError:
        names = ", ".join(map(repr, dict.fromkeys([*given, *known()])))
        raise ValueError(
            f"reference={name!r} must be the name of a method or None; known are {names}."
        ) from None
    return {name: None}


def _factory(name: str, names: list[str]) -> Factory:
    if name in _CAPTUM:
        return _CAPTUM[name]
    if name in PEERS:
        if not peers_installed():
            raise ImportError(
                f"methods has {name!r}, which comes from the package grad-cam, which is not "
                "installed. Install captum_clustered[peers]."
            )
        return lambda forward_func, layer: PeerCAM(forward_func, layer, name)
    first, *variants = name.split(", ")
    if first != CLUSTERED:
        raise unknown("methods", name, names)
    kwargs: dict[str, Any] = {}
    for argument, value in (_variant(variant, name) for variant in variants):
        if argument in kwargs:
            raise ValueError(f"methods has {name!r}, which sets the {argument} twice.")
        kwargs[argument] = value
    return lambda forward_func, layer: ClusteredLayerCAM(forward_func, layer, **kwargs)


def _variant(text: str, name: str) -> tuple[str, Any]:
    for pattern, argument in _VARIANTS:
        match = pattern.fullmatch(text)
        if match:
            value = match.group(1)
            return argument, int(value) if value.isdigit() else value
    raise ValueError(
        f"methods has {name!r}: after {CLUSTERED} and a comma may follow 'n_clusterings R', "
        f"'K clusters', 'shapley', 'ablation', 'drop' or 'density'; got {text!r}."
    )


def _control(name: str, seed: int) -> Factory:
    factories: dict[str, Factory] = {
        "Fake-CAM": FakeCAM,
        "random": lambda forward_func, layer: RandomMap(forward_func, layer, seed),
        "center Gaussian": CenterGaussian,
        "mean activation": MeanActivation,
        MASK_CONTROL: MaskMap,
    }
    return factories[name]


def _build(
    factory: Factory, scored: Forward, layer: Module
) -> Callable[[], tuple[LayerAttribution, CountedForward]]:
    def build() -> tuple[LayerAttribution, CountedForward]:
        counted = CountedForward(scored)
        made = factory(counted, layer)
        if not isinstance(made, LayerAttribution):
            raise TypeError(f"it must make a LayerAttribution; got {type(made).__name__}.")
        return made, counted

    return build


def _users(name: str, value: Any, scored: Forward, layer: Module) -> Method:
    if isinstance(value, LayerAttribution):

        def build() -> tuple[LayerAttribution, CountedForward]:
            # A shallow copy, so that the user's own does not count.
            counted = CountedForward(value.forward_func)
            own = copy.copy(value)
            own.forward_func = counted
            return own, counted

        return Method(name, build, settings=describe(value))
    if isinstance(value, type) and not issubclass(value, LayerAttribution):
        raise TypeError(f"methods[{name!r}] must be a LayerAttribution; got {value.__name__}.")
    if not callable(value):
        raise TypeError(
            f"methods[{name!r}] must be a LayerAttribution or a function (forward_func, layer) -> "
            f"LayerAttribution; got {type(value).__name__}."
        )
    return Method(name, _build(value, scored, layer), settings=describe(value))


def describe(value: Any) -> str:
    """What a method or function of the user's is called, from one process to the next."""
    if isinstance(value, ScoreWrapper):
        return f"{value.transform.__name__.strip('_')} of {describe(value.forward_func)}"
    if isinstance(value, functools.partial):
        return f"partial of {describe(value.func)}"
    if not isinstance(value, LayerAttribution):
        named = value if hasattr(value, "__qualname__") else type(value)
        return f"{named.__module__}.{named.__qualname__}"
    plain = {
        key: setting
        for key, setting in sorted(vars(value).items())
        if isinstance(setting, (bool, int, float, str, type(None)))
    }
    return f"{type(value).__module__}.{type(value).__qualname__} {plain}"
