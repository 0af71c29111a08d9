"""The methods of a comparison: those known by name, and those of the user."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from captum.attr import (
    LayerAttribution,
    LayerFeatureAblation,
    LayerGradCam,
    LayerGradientXActivation,
)
from captum.log import log_usage
from torch import Tensor
from torch.nn import Module

from captum_clustered._argument_checks import shape_of
from captum_clustered._maps import ClusterAttribution, cluster_attribution
from captum_clustered._storage.fingerprints import describe
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.comparison.controls import CONTROLS, MaskMap, layer_values
from captum_clustered.comparison.data import ImageBatch
from captum_clustered.comparison.forward import CountedForward, Forward
from captum_clustered.comparison.peers import PEERS, peers_installed
from captum_clustered.comparison.registry import Factory, MethodInfo, chosen, unknown
from captum_clustered.multi_layer_attribution import MultiLayerAttribution
from captum_clustered.scores import LogitWrapper, model_of
from captum_clustered.test_time_augmentation import TestTimeAugmentation

CLUSTERED, MEAN = "ClusteredLayerCAM", "TestTimeAugmentation"
_OURS = "captum_clustered"


@dataclass
class Method:
    """A method to run."""

    name: str  # in tables
    factory: Factory
    forward_func: Forward
    layers: Sequence[Module]
    is_control: bool = False
    settings: str = ""  # tell it from another method of the same name
    fusion: str = "mean"  # of the attributions of several layers
    _built: tuple[LayerAttribution, CountedForward] | Exception | None = field(
        default=None, repr=False
    )

    def built(self) -> tuple[LayerAttribution, CountedForward]:
        """Return the attribution and the counter of its forward passes."""
        if self._built is None:
            try:
                self._built = self._build()
            except Exception as error:  # noqa: BLE001
                # It is not tried again for each image.
                self._built = error
        if isinstance(self._built, Exception):
            # Otherwise the traceback would grow each time, and keep a batch alive.
            raise self._built.with_traceback(None)
        return self._built

    def _build(self) -> tuple[LayerAttribution, CountedForward]:
        counted = CountedForward(self.forward_func)
        made = [self.factory(counted, layer) for layer in self.layers]
        for each in made:
            if not isinstance(each, LayerAttribution):
                raise TypeError(f"it must make a LayerAttribution; got {type(each).__name__}.")
        return made[0] if len(made) == 1 else MultiLayerAttribution(made, self.fusion), counted

    def forward_examples(self) -> float:
        """Return the number of examples that went through the model so far."""
        if not isinstance(self._built, tuple):
            return 0.0
        return float(self._built[1].n_examples)

    def explain(
        self, batch: ImageBatch, target: Tensor, at_input: bool
    ) -> tuple[Tensor, ClusterAttribution | None]:
        r"""
        Return the maps of a batch, shape (N, 1, \*spatial), and the clusters behind them.

        Maps are at least float32. Only a ClusteredLayerCAM has clusters.
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
    """Return the maps of any layer attribution, summed over channels and checked."""
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
        raise ValueError(
            "its attribution must be one tensor (N, channels, *spatial) with the images' number "
            f"of dimensions; got {shape_of(maps)} for images {tuple(inputs.shape)}. Use "
            "tokens_to_map for tokens."
        )
    if not maps.numel() or maps.is_complex():
        raise ValueError(
            "its attribution must be of real numbers and not empty; got "
            f"{maps.dtype} of shape {tuple(maps.shape)}."
        )
    # Convert before the sum, which could overflow in half precision.
    maps = maps.detach().to(torch.promote_types(maps.dtype, torch.float32))
    maps = maps.sum(1, keepdim=True)
    if not torch.isfinite(maps).all():
        raise ValueError("its attribution has values that are not finite.")
    return maps


def _ready(attribution: LayerAttribution, inputs: Tensor) -> Tensor:
    """Return a copy of the inputs that requires a gradient if all parameters are frozen."""
    model = model_of(attribution.forward_func)
    frozen = model is not None and not any(p.requires_grad for p in model.parameters())
    # A method may change its inputs in place.
    return inputs.detach().clone().requires_grad_(frozen)


def make_methods(
    methods: Any,
    scored: Forward,
    layers: Sequence[Module],
    reference: str | None,
    has_masks: bool,
    seed: int,
    fusion: str = "mean",
) -> list[Method]:
    """Return the methods to run, in the order of the tables: those chosen, then the controls."""
    given = chosen("methods", default_methods() if methods is None else methods)
    controls = {info.name: info for info in CONTROLS if has_masks or not info.needs_masks}
    if reference is not None and reference not in {*given, *controls}:
        given = {**_reference(reference, given), **given}
    found = []
    for name, value in given.items():
        if name in METHODS and METHODS[name].is_control:
            if value is not None:
                raise ValueError(f"methods has {name!r}, which is the name of a control.")
            if name not in controls:
                raise ValueError(f"methods has {name!r}, which needs masks in data.")
        elif value is None:
            factory = _factory(name)
            if name not in METHODS:
                # Wrong values raise now, and not for each image.
                factory(scored, layers[0])
            found.append(Method(name, factory, scored, layers, settings=name, fusion=fusion))
        else:
            found.append(_users(name, value, scored, layers, fusion))
    for name, info in controls.items():
        factory = functools.partial(info.build, seed=seed) if info.is_seeded else info.build
        its_layers = layers if info.is_of_layer else layers[:1]
        found.append(Method(name, factory, scored, its_layers, True, name, fusion))
    return found


def default_methods() -> list[str]:
    """Return the names of the methods that run unless others are chosen, without controls."""
    sources = ("grad-cam",) if peers_installed() else ()
    return [
        name
        for name, info in METHODS.items()
        if info.source in (_OURS, "Captum", *sources) and not info.is_slow
    ]


def _reference(name: str, given: dict[str, Any]) -> dict[str, None]:
    try:
        _factory(name)
    except ValueError:
        names = ", ".join(map(repr, dict.fromkeys([*given, *METHODS])))
        raise ValueError(
            f"reference={name!r} must be the name of a method or None; known are {names}."
        ) from None
    return {name: None}


def _factory(name: str) -> Factory:
    info = METHODS.get(name)
    if info is None:
        return _variant(name)
    if info.source == "grad-cam" and not peers_installed():
        raise ImportError(
            f"methods has {name!r}, which comes from the package grad-cam, which is not "
            "installed. Install captum_clustered[peers]."
        )
    return info.build


def _variant(name: str) -> Factory:
    """Return the factory of a text such as "ClusteredLayerCAM(n_clusterings=10)"."""
    try:
        call = ast.parse(name.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        call = None
    called = call.func if isinstance(call, ast.Call) else None
    if not (isinstance(call, ast.Call) and isinstance(called, ast.Name)):
        raise unknown("methods", name, METHODS)
    if called.id == CLUSTERED:
        kwargs = _keywords(call, name, ClusteredLayerCAM, f"{CLUSTERED}(clusterer=20)")
        return functools.partial(ClusteredLayerCAM, **kwargs)
    if called.id == MEAN:
        kwargs = _keywords(
            call, name, TestTimeAugmentation, f"{MEAN}(LayerGradCam, views=['hflip'])"
        )
        return functools.partial(_mean, _wrapped(call.args[0], name), **kwargs)
    raise unknown("methods", name, METHODS)


def _wrapped(node: ast.expr, name: str) -> Factory:
    """Return the factory of the method whose name or call is an argument of a call."""
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    wrapped = ast.literal_eval(node) if is_text else ast.unparse(node)
    if wrapped in METHODS and METHODS[wrapped].is_control:
        raise ValueError(f"methods has {name!r}, but {wrapped!r} is a control.")
    return _factory(wrapped)


def _mean(
    wrapped: Factory, forward_func: Forward, layer: Module, **kwargs: Any
) -> LayerAttribution:
    return TestTimeAugmentation(wrapped(forward_func, layer), **kwargs)


def _keywords(call: ast.Call, name: str, method: type, example: str) -> dict[str, Any]:
    """Return the keyword arguments of a call, which are literals of what a method accepts."""
    n_methods = int(method is TestTimeAugmentation)
    # The method in the text comes first, or else what compare gives.
    accepted = list(inspect.signature(method).parameters)[n_methods or 3 :]
    if len(call.args) != n_methods or any(keyword.arg is None for keyword in call.keywords):
        raise ValueError(f"methods has {name!r}: give arguments by name, such as {example}.")
    kwargs = {}
    for keyword in call.keywords:
        if keyword.arg not in accepted:
            raise ValueError(
                f"methods has {name!r}: {method.__name__} has no {keyword.arg!r}; accepted are "
                f"{', '.join(accepted)}."
            )
        if keyword.arg in kwargs:
            raise ValueError(f"methods has {name!r}, which sets {keyword.arg} twice.")
        try:
            kwargs[keyword.arg] = ast.literal_eval(keyword.value)
        except ValueError:
            raise ValueError(
                f"methods has {name!r}: {keyword.arg} must be a number, a text in quotes or "
                "another literal of Python."
            ) from None
    return kwargs


def _users(name: str, value: Any, scored: Forward, layers: Sequence[Module], fusion: str) -> Method:
    if isinstance(value, LayerAttribution):
        # It has a layer of its own.
        factory = functools.partial(_with_forward, value)
        forward_func = LogitWrapper(value.forward_func)
        return Method(name, factory, forward_func, layers[:1], settings=describe(value))
    if isinstance(value, type) and not issubclass(value, LayerAttribution):
        raise TypeError(f"methods[{name!r}] must be a LayerAttribution; got {value.__name__}.")
    if not callable(value):
        raise TypeError(
            f"methods[{name!r}] must be a LayerAttribution or a function (forward_func, layer) -> "
            f"LayerAttribution; got {type(value).__name__}."
        )
    return Method(name, value, scored, layers, settings=describe(value), fusion=fusion)


def _with_forward(value: LayerAttribution, forward_func: Forward, _: Module) -> LayerAttribution:
    # A shallow copy, so that the user's attribution keeps its forward_func.
    own = copy.copy(value)
    own.forward_func = forward_func
    if isinstance(own, TestTimeAugmentation):
        own.attribution = _with_forward(own.attribution, forward_func, _)
    if isinstance(own, MultiLayerAttribution):
        own.attributions = tuple(_with_forward(each, forward_func, _) for each in own.attributions)
    return own


class ChannelAblation(LayerAttribution):
    r"""
    Ablation-CAM by Captum's ``LayerFeatureAblation``.

    Each channel is set to zero alone, and its map is weighted by the drop of the score:
    :math:`\sum_c d_c A_c`. Drops are not divided by the score as in the paper (Desai and
    Ramaswamy, WACV 2020): a normalized map would not change, except that a negative score
    would reverse it. The model runs once for each channel.
    """

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, **kwargs: Any) -> Tensor:
        r"""Return maps of shape (N, 1, \*spatial of the layer)."""
        values = layer_values(self, inputs, **kwargs)
        channels = torch.arange(values.shape[1], device=values.device)
        mask = channels.view(1, -1, *[1] * (values.dim() - 2))
        ablation = LayerFeatureAblation(self.forward_func, self.layer)
        drops = ablation.attribute(inputs, layer_mask=mask, **kwargs)
        if isinstance(drops, tuple):
            drops = drops[0]
        return (drops * values).sum(1, keepdim=True)


# Name -> method, in the order of tables.
METHODS = {
    info.name: info
    for info in (
        MethodInfo(CLUSTERED, ClusteredLayerCAM, _OURS, "Clustered-CAM with the default settings"),
        MethodInfo(
            f"{CLUSTERED}(n_clusterings=10)",
            functools.partial(ClusteredLayerCAM, n_clusterings=10),
            _OURS,
            "the mean over ten clusterings",
        ),
        MethodInfo(
            "AblationCAM",
            functools.partial(ClusteredLayerCAM, clusterer=None, scaling="drop"),
            _OURS,
            "each channel is its own cluster, weighted by its drop",
        ),
        MethodInfo(
            f"{CLUSTERED} (mirrored)",
            functools.partial(_mean, ClusteredLayerCAM),
            _OURS,
            "the mean over image and mirror image",
        ),
        MethodInfo("LayerGradCam", LayerGradCam, "Captum", "channels weighted by mean gradients"),
        MethodInfo(
            "LayerGradCam (mirrored)",
            functools.partial(_mean, LayerGradCam),
            "Captum",
            "the mean over image and mirror image",
        ),
        MethodInfo(
            "LayerGradientXActivation",
            LayerGradientXActivation,
            "Captum",
            "gradients times activations (HiResCAM)",
        ),
        MethodInfo(
            "LayerFeatureAblation",
            ChannelAblation,
            "Captum",
            "channels weighted by their drop (Ablation-CAM)",
            is_slow=True,
        ),
        *PEERS.values(),
        *CONTROLS,
    )
}
