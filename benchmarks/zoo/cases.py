"""One architecture of the zoo: how it is built, and what of it is explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Case", "family_of", "path_of", "randomize"]

# Parameters that start this small (layer scale) would hide what is behind them.
TINY = 1e-2


@dataclass(frozen=True)
class Case:
    """
    An architecture and what is explained.

    ``score`` and ``layer`` are Python code, so that the page shows exactly what was run.

    Attributes:

        library (str): The package that the architecture is from.
        name (str): Its name there.
        build (Callable): Makes the network, with random weights.
        shape (tuple[int, ...]): Shape of the input, with the examples first.
        score (str): The score of an image, in terms of ``net`` and ``x``.
        layer (str): The layer, after "net."; without one, :func:`find_layer
                    <captum_clustered.models.find_layer>` chooses.
        channel_dim (int): As in ClusteredLayerCAM, for a layer that is given.
        n_prefix (int): Number of tokens before those of patches, for a layer of tokens.
        at_input (bool): Whether the input of the layer is explained.
        target (int or None): Index of the class.
        family (str): Title of the table's row; without one, the class's module.
    """

    library: str
    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    score: str = "net(x)"
    layer: str = ""
    channel_dim: int = 1
    n_prefix: int = 0
    at_input: bool = False
    target: int | None = 1
    family: str = ""

    def inputs(self) -> Tensor:
        """Return images of noise."""
        return torch.randn(self.shape, generator=torch.Generator().manual_seed(0))

    def forward_func(self, net: nn.Module) -> Callable[[Tensor], Any]:
        """Return what a user passes to ClusteredLayerCAM."""
        return net if self.score == "net(x)" else self.call(net)

    def call(self, net: nn.Module) -> Callable[[Tensor], Any]:
        """Return the score as a function."""
        names = {"net": net, "torch": torch}
        function: Callable[[Tensor], Any] = eval(f"lambda x: {self.score}", names)  # noqa: S307
        return function


def family_of(net: nn.Module) -> str:
    """Return the name of the module that defines a network's class."""
    parts = type(net).__module__.split(".")
    name = parts[-2] if parts[-1] in ("model", "models") else parts[-1]
    return name.removeprefix("modeling_")


def path_of(net: nn.Module, name: str) -> str:
    """Return a layer's name as Python code after "net.", the last of a list as ``[-1]``."""
    path, module = "", net
    for part in name.split("."):
        if isinstance(module, (nn.Sequential, nn.ModuleList)):
            children = [n for n, _ in module.named_children()]
            index = children.index(part)
            path += "[-1]" if index == len(children) - 1 else f"[{index}]"
        else:
            path += f".{part}"
        module = module.get_submodule(part)
    return path.removeprefix(".")


def randomize(net: nn.Module, forward: Callable[[Tensor], Any], inputs: Tensor) -> None:
    """
    Give a network weights with which all layers matter, and put it in evaluation mode.

    Parameters that start constant (heads of zeros, layer scales) get noise, and batch
    normalization gets the statistics of the inputs; else signals die in deep networks.
    """
    generator = torch.Generator().manual_seed(0)
    net.eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.is_floating_point() and parameter.numel():
                _randomize_constant(parameter, generator)
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    try:
        with torch.no_grad():
            forward(torch.cat([inputs, inputs.flip(-1)]))
    except ValueError:
        # One value in each channel has no variance: the statistics stay as they were.
        pass
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        net.eval()


def _randomize_constant(parameter: Tensor, generator: torch.Generator) -> None:
    first = parameter.flatten()[0]
    if not bool((parameter == first).all()):
        return
    noise = torch.randn(parameter.shape, generator=generator).to(parameter)
    if parameter.dim() > 1 or first.abs() < TINY:
        parameter.add_(0.1 * noise)
    else:
        parameter.mul_(1 + 0.2 * noise)
