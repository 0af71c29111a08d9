"""The command layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from rich.console import Group
from rich.text import Text
from typer import Option

from captum_clustered._errors import UserError
from captum_clustered.cli.console import sentences, show, titled
from captum_clustered.cli.options import ModelName, Size, Weights
from captum_clustered.models import LayerInfo, example_input, list_layers, load_model, load_skeleton


def layers(
    model: ModelName,
    weights: Weights = None,
    size: Size = None,
    everything: Annotated[
        bool, Option("--all", help="Also list layers nested deeper than two levels.")
    ] = False,
) -> None:
    """
    List the layers of a model that can be shown as a map.

    Without --weights, nothing is downloaded: shapes hardly depend on weights.
    """
    with sentences():
        network = load_skeleton(model) if weights is None else load_model(model, weights)
        inputs = example_input(network, size)
        found = list_layers(network, inputs, everything)
        if not found:
            where = "" if everything else " in its upper two levels; try --all"
            raise UserError(f"{model} has no layer that is a spatial map{where}.")
        sides = " x ".join(map(str, inputs.shape[2:]))
        show(_layer_table(found, f"Layers of {model} for an input of {sides}"))


def _layer_table(found: Sequence[LayerInfo], title: str) -> Group:
    group, table = titled(title, "Layer", "Type", "Shape", "Kind", "Options")
    for layer in found:
        options = ["use --layer-input"] if layer.at_input else []
        if layer.kind.channel_dim != 1:
            options.append(f"use --channel-dim {layer.kind.channel_dim}")
        if layer.usual:
            options.append("<- usual choice")
        table.add_row(
            Text(f"{layer.name} (input)" if layer.at_input else layer.name),
            layer.type_name,
            " x ".join(map(str, layer.shape[1:])),
            layer.kind.name,
            " ".join(options),
            style="bold green" if layer.usual else None,
        )
    return group
