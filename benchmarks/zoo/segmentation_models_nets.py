"""segmentation_models_pytorch: each decoder with several encoders."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import segmentation_models_pytorch as smp
from torch import nn

from zoo.cases import Case

# The layer of each encoder whose maps are the smallest.
ENCODERS = {
    "resnet18": "encoder.layer4",
    "mobilenet_v2": "encoder.features[-1]",
    "efficientnet-b0": "encoder._blocks[-1]",
}
DECODERS = {
    "Unet": "resnet18 mobilenet_v2 efficientnet-b0",
    "UnetPlusPlus": "resnet18 mobilenet_v2",
    "MAnet": "resnet18 mobilenet_v2",
    "Linknet": "resnet18 mobilenet_v2",
    "FPN": "resnet18 efficientnet-b0",
    "PSPNet": "resnet18 mobilenet_v2",
    "PAN": "resnet18 mobilenet_v2",
    "DeepLabV3": "resnet18 mobilenet_v2",
    "DeepLabV3Plus": "resnet18 mobilenet_v2",
    "UPerNet": "resnet18 mobilenet_v2",
    "Segformer": "resnet18 mobilenet_v2",
}


def cases() -> Iterator[Case]:
    """Yield the cases of this library."""
    for decoder, encoders in DECODERS.items():
        for encoder in encoders.split():
            yield Case(
                "segmentation_models_pytorch",
                f"{decoder} on {encoder}",
                functools.partial(_build, decoder, encoder),
                # PAN pools three times more.
                (2, 3, 128, 128) if decoder == "PAN" else (2, 3, 64, 64),
                "net(x).mean((2, 3))",
                # PSPNet takes maps from the middle of its encoder.
                "decoder" if decoder == "PSPNet" else ENCODERS[encoder],
                family=decoder,
            )


def _build(decoder: str, encoder: str) -> nn.Module:
    net: nn.Module = getattr(smp, decoder)(encoder, encoder_weights=None, classes=3)
    return net
