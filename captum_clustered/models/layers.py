"""The layers of a network that can be shown as a map, and the usual choice among them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from captum_clustered._errors import close_matches
from captum_clustered._layer_shapes import MAP, TOKENS, LayerKind, Shape, kind_of
from captum_clustered.models.base import AnyModel, as_model, example_input
from captum_clustered.models.tracing import Call, Forward, trace

# Modules nested deeper than this are listed on demand.
USUAL_DEPTH = 2
# One of these is in the name of a class of attention, such as ClassAttn or MHSA.
ATTENTIONS = ("attention", "attn", "mhsa")


@dataclass(frozen=True)
class LayerInfo:
    """
    A layer that can be shown as a map.

    Attributes:

        name (str): The layer's name in the model.
        type_name (str): The module's class.
        shape (tuple[int, ...]): Shape of the tensor that is attributed to.
        kind (LayerKind): How that tensor lies in space, with its ``channel_dim``.
        at_input (bool): Whether it is the module's input (``attribute_to_layer_input=True``).
        usual (bool): Whether it is the usual choice.
    """

    name: str
    type_name: str
    shape: Shape
    kind: LayerKind
    at_input: bool
    usual: bool


def get_layer(model: AnyModel, name: str) -> nn.Module:
    """
    Return the module of a model that has this name.

    Args:

        model (Model or torch.nn.Module): The network.
        name (str): Name of the module, e.g. "layer4.1".

    Raises:

        ValueError: If the model has no such module; the message names similar ones.
    """
    model = as_model(model)
    modules: dict[str, nn.Module] = dict(model.module.named_modules(remove_duplicate=False))
    modules.pop("", None)
    if name not in modules:
        raise ValueError(
            f"{model.name} has no layer {name!r}.{close_matches(name, modules)} "
            f"`captum-clustered layers --model {model.name}` lists the layers."
        )
    return modules[name]


def find_layer(model: AnyModel, inputs: Tensor | None = None) -> str:
    """
    Return the name of the layer that is usually taken for a class activation map.

    It is the last module whose output is a spatial map, before the map is pooled: "layer4"
    of a ResNet, "features" of a VGG, a DenseNet or an EfficientNet. In a transformer with a
    class token it is the last module before the last attention, because behind it only the
    class token reaches the output. :func:`usual_layer` also returns the ``channel_dim``,
    which is not 1 for tokens.

    Args:

        model (Model or torch.nn.Module): The network, which runs once, without gradients.
        inputs (Tensor, optional): A batch for it, of square images.
                    Default: None (:func:`example_input`)

    Raises:

        ValueError: If the network fails on the inputs, does not return logits or has no such
                    layer.

    Examples::

        >>> net = torchvision.models.resnet50(weights="DEFAULT").eval()
        >>> find_layer(net)
        'layer4'
        >>> cam = ClusteredLayerCAM(net, get_layer(net, find_layer(net)))
    """
    return usual_layer(model, inputs).name


def usual_layer(model: AnyModel, inputs: Tensor | None = None) -> LayerInfo:
    """Return the layer of :func:`find_layer` with its shape and ``channel_dim``."""
    model = as_model(model)
    for layer in list_layers(model, inputs):
        if layer.usual:
            return layer
    raise ValueError(
        f"{model.name} has no layer that is the usual choice. Give a layer; `captum-clustered "
        f"layers --model {model.name} --all` lists them."
    )


def list_layers(
    model: AnyModel, inputs: Tensor | None = None, everything: bool = False
) -> list[LayerInfo]:
    """
    Return the layers that can be shown as a map, in the order of the model's definition.

    Args:

        model (Model or torch.nn.Module): The network, which runs once, without gradients.
        inputs (Tensor, optional): A batch for it, of square images; its values do not matter.
                    Default: None (:func:`example_input`)
        everything (bool, optional): Whether to include modules nested deeper than two levels.
                    Default: False

    Raises:

        ValueError: If the network fails on the inputs or does not return logits.

    Examples::

        >>> for layer in list_layers(load_skeleton("vit_b_16")):
        >>>     print(layer.name, layer.shape, layer.kind.channel_dim)
    """
    model = as_model(model)
    forward = trace(model, example_input(model) if inputs is None else inputs)
    kinds = {
        module: kind
        for module, call in forward.calls.items()
        if len(call.outputs) == 1 and (kind := kind_of(call.outputs[0]))
    }
    names = {module: name for name, module in model.module.named_modules() if name}
    usual = _usual(forward, kinds, names)
    found = []
    for module, name in names.items():
        call, type_name = forward.calls.get(module), type(module).__name__
        is_usual = module is usual
        if call is None or not (everything or is_usual or _depth(name) <= USUAL_DEPTH):
            continue
        if module in kinds:
            shape, kind = call.outputs[0], kinds[module]
            found.append(LayerInfo(name, type_name, shape, kind, False, is_usual))
        elif _ends_space(module, name, call):
            found.append(LayerInfo(name, type_name, call.inputs[0], MAP, True, False))
    return found


def _usual(
    forward: Forward, kinds: dict[nn.Module, LayerKind], names: dict[nn.Module, str]
) -> nn.Module | None:
    calls = [module for module in forward.calls if module in names]
    attentions = [m for m in calls if _is_attention(m)]
    # Inside an attention, tensors are heads of queries and keys, not maps.
    inside = {part for attention in attentions for part in attention.modules()}
    candidates = [m for m in calls if m in kinds and m not in inside]
    if candidates and kinds[candidates[-1]] is TOKENS:
        before = set(calls[: calls.index(attentions[-1])] if attentions else calls)
        return next((m for m in reversed(candidates) if m in before), None)
    # The maps of a network that ends with a convolution are the classes already.
    with_weights = [m for m in calls if next(m.parameters(recurse=False), None) is not None]
    ends_with_maps = any(isinstance(m, (nn.Conv2d, nn.Conv3d)) for m in with_weights[-1:])
    n_classes = forward.output.shape[1]
    maps = [
        m
        for m in candidates
        if _depth(names[m]) <= USUAL_DEPTH
        and kinds[m] is not TOKENS
        and not (ends_with_maps and forward.calls[m].outputs[0][kinds[m].channel_dim] == n_classes)
        # These change nothing: VGG's pooling at the usual size, SqueezeNet's dropout.
        and not _is_pooling(m, names[m])
        and not isinstance(m, (nn.Dropout, nn.Identity))
    ]
    return maps[-1] if maps else None


def _is_attention(module: nn.Module) -> bool:
    """Return whether a module is an attention and not a block around one, by its class."""

    def is_named_so(module: nn.Module) -> bool:
        return any(word in type(module).__name__.lower() for word in ATTENTIONS)

    return is_named_so(module) and sum(map(is_named_so, module.modules())) == 1


def _ends_space(module: nn.Module, name: str, call: Call) -> bool:
    """Return whether the module pools a map into one position."""
    return (
        _is_pooling(module, name)
        and len(call.inputs) == len(call.outputs) == 1
        and kind_of(call.inputs[0]) is MAP
        and math.prod(call.outputs[0][2:]) == 1
    )


def _is_pooling(module: nn.Module, name: str) -> bool:
    is_leaf = next(module.children(), None) is None
    return is_leaf and "pool" in f"{name} {type(module).__name__}".lower()


def _depth(name: str) -> int:
    return name.count(".") + 1
