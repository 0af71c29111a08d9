"""Choose a layer of a network and check that it can be shown as a map."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from captum_clustered._layer_shapes import TOKENS, LayerKind, Shape, kind_of, token_splits
from captum_clustered.models.base import AnyModel, Model, as_model
from captum_clustered.models.layers import find_layer, get_layer
from captum_clustered.models.tracing import Call, trace
from captum_clustered.scores import probabilities_given


@dataclass(frozen=True)
class LayerChoice:
    """A layer that fits the network, the shape of its tensor, and remarks for the user."""

    name: str
    module: nn.Module
    channel_dim: int
    shape: Shape
    n_classes: int
    notes: tuple[str, ...] = ()

    @property
    def has_channels_first(self) -> bool:
        """Whether channels are dimension 1, as LayerGradCam needs."""
        return self.channel_dim % len(self.shape) == 1


def choose_layer(
    model: AnyModel,
    inputs: Tensor,
    name: str = "",
    at_input: bool = False,
    channel_dim: int | None = None,
    n_prefix: int | None = None,
) -> LayerChoice:
    """
    Return the layer, checked; without a name, the usual one with its own ``channel_dim``.

    A ``channel_dim`` that is given is checked; without one, it follows from the layer's shape.
    """
    model = as_model(model)
    if not name:
        if at_input:
            raise ValueError("layer_input needs the name of a layer.")
        name, channel_dim = find_layer(model, inputs), None
    module = get_layer(model, name)
    forward = trace(model, inputs)
    call = forward.calls.get(module)
    if call is None:
        raise ValueError(
            f"Layer {name!r} is not used when {model.name} runs, or is a container that only "
            "holds others."
        )
    shapes = call.inputs if at_input else call.outputs
    if len(shapes) != 1:
        what = "input" if at_input else "output"
        raise ValueError(
            f"The {what} of layer {name!r} is {len(shapes)} tensors, and one is needed for a map; "
            "choose a layer inside or behind it."
        )
    where = f"{'The input of layer' if at_input else 'Layer'} {name!r}"
    kind = _checked_kind(model, where, shapes[0], call, at_input, n_prefix)
    if channel_dim is None:
        channel_dim = kind.channel_dim
    notes = _check_channel_dim(where, shapes[0], kind, channel_dim)
    # A single logit decides between two classes.
    n_classes = max(2, forward.output.shape[1])
    if model.class_names is not None and len(model.class_names) != n_classes:
        raise ValueError(
            f"class_names has {len(model.class_names)} names, and {model.name} has {n_classes} "
            "classes."
        )
    given = probabilities_given(lambda noise: trace(model, noise).output, inputs, forward.output)
    notes += (given,) if given else ()
    return LayerChoice(name, module, channel_dim, shapes[0], n_classes, notes)


def check_class(model: Model, n_classes: int, target: int) -> None:
    """Raise a ValueError if a target is not one of the network's classes."""
    if not 0 <= target < n_classes:
        raise ValueError(
            f"target={target} is out of range: {model.name} has {n_classes} classes, 0 to "
            f"{n_classes - 1}."
        )


def _checked_kind(
    model: Model, where: str, shape: Shape, call: Call, at_input: bool, n_prefix: int | None
) -> LayerKind:
    kind = kind_of(shape, n_prefix)
    if kind is None:
        input_is_map = not at_input and len(call.inputs) == 1 and kind_of(call.inputs[0])
        hint = "; its input is one: use layer_input" if input_is_map else ""
        raise ValueError(
            f"{where} has shape {shape}, which is not a spatial map{hint}. `captum-clustered "
            f"layers --model {model.name}` lists the layers."
        )
    return kind


def _check_channel_dim(
    where: str, shape: Shape, kind: LayerKind, channel_dim: int
) -> tuple[str, ...]:
    """Return remarks; raise if the dimension cannot be, or does not look like, the channels'."""
    if not -len(shape) < channel_dim < len(shape) or channel_dim == 0:
        raise ValueError(f"channel_dim={channel_dim} is no dimension of channels of {shape}.")
    dim = channel_dim % len(shape)
    # With as many channels as rows and columns, nothing tells which dimension they are.
    is_cube = len(shape) == 4 and len(set(shape[1:])) == 1 and dim != 2
    if dim == kind.channel_dim % len(shape) or is_cube:
        return ()
    # Some layers are (N, C, T). The user's word counts where the last dimension could be the
    # tokens too, unless a class token shows that the layer is (N, T, C).
    may_be_channels = any(n_prefix == 0 for _, n_prefix in token_splits(shape[1]))
    if kind is TOKENS and dim == 1 and token_splits(shape[2]) and may_be_channels:
        return (
            f"{where} has shape {shape}: dimension 1 is taken for the channels; if these are "
            "tokens, use channel_dim=-1.",
        )
    raise ValueError(
        f"{where} has shape {shape}, which looks like {kind.name}: use channel_dim="
        f"{kind.channel_dim}."
    )
