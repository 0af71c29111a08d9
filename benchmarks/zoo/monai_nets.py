"""MONAI: networks of two and three dimensions."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from monai.networks import nets
from torch import nn

from zoo.cases import Case

PLANE = (2, 1, 64, 64)
VOLUME = (1, 1, 32, 32, 32)
CLASSES = {"in_channels": 1, "out_channels": 3}
VOXELS = {"in_channels": 1, "out_channels": 2}
# The mean logit over all voxels.
MEAN = "net(x).flatten(2).mean(2)"
MEAN_OF_FIRST = "net(x)[0].flatten(2).mean(2)"
UNET = {"channels": (8, 16, 32), "strides": (2, 2), **VOXELS}
FEATURES = {"features": (8, 8, 16, 32, 64, 8), **VOXELS}
VIT = {"hidden_size": 48, "mlp_dim": 96, "num_heads": 4}


def cases() -> Iterator[Case]:
    """Yield the cases of this library."""
    yield from _classification()
    yield from _convolutional_segmentation()
    yield from _transformers()
    yield from _others()


def _classification() -> Iterator[Case]:
    for name in ("DenseNet121", "DenseNet169", "DenseNet201"):
        yield _case(name, PLANE, "", CLASSES)
    yield _case("DenseNet121", VOLUME, "features", CLASSES)
    settings: dict[str, Any] = {"n_input_channels": 1, "num_classes": 3}
    for name in ("resnet10", "resnet18", "resnet34", "resnet50"):
        yield _case(name, PLANE, "", settings)
    for name in ("resnet10", "resnet18"):
        yield _case(name, VOLUME, "layer4", settings)
    settings = {"in_channels": 1, "num_classes": 3}
    for name in ("SEResNet50", "SEResNext50"):
        yield _case(name, PLANE, "", settings)
    yield _case("SEResNet50", VOLUME, "layer4", settings)
    for name in ("b0", "b1"):
        settings = {"model_name": f"efficientnet-{name}", "pretrained": False, "num_classes": 3}
        yield _case(
            "EfficientNetBN",
            PLANE,
            "_avg_pooling",
            {**settings, "in_channels": 1},
            label=name,
            at_input=True,
        )


def _convolutional_segmentation() -> Iterator[Case]:
    for shape in (PLANE, VOLUME):
        for name, layer, settings in (
            ("UNet", "model[1].submodule[1].submodule", {**UNET, "num_res_units": 2}),
            ("BasicUNet", "down_4", FEATURES),
            ("AttentionUnet", "model[1].submodule[1].submodule", UNET),
            ("SegResNet", "down_layers[-1]", {"init_filters": 8, **VOXELS}),
            ("SegResNetDS", "encoder.layers[-1].blocks", {"init_filters": 8, **VOXELS}),
            ("VNet", "down_tr256", VOXELS),
            ("HighResNet", "blocks[-2]", VOXELS),
        ):
            yield _case(name, shape, layer, settings, MEAN)
        yield _case("BasicUNetPlusPlus", shape, "conv_4_0", FEATURES, MEAN_OF_FIRST)
        kernels = {"kernel_size": [3] * 3, "strides": [1, 2, 2], "upsample_kernel_size": [2, 2]}
        yield _case(
            "DynUNet", shape, "bottleneck", {**kernels, "filters": [8, 16, 32], **VOXELS}, MEAN
        )
        side = {"input_image_size": shape[2:], "init_filters": 8}
        yield _case("SegResNetVAE", shape, "down_layers[-1]", {**side, **VOXELS}, MEAN_OF_FIRST)
    for name in ("efficientnet-b0", "resnet18"):
        settings = {"backbone": name, **VOXELS}
        yield _case("FlexibleUNet", PLANE, "decoder.blocks[0]", settings, MEAN, label=name)
    yield _case("MedNeXt", VOLUME, "bottleneck", {"init_filters": 8, **VOXELS}, MEAN)


def _transformers() -> Iterator[Case]:
    for shape in (PLANE, VOLUME):
        vit = {"in_channels": 1, "img_size": shape[2:], "patch_size": 16, **VIT}
        yield _case(
            "ViT",
            shape,
            "blocks[-1].norm1",
            {**vit, "num_layers": 3, "classification": True, "num_classes": 3},
            "net(x)[0]",
            channel_dim=-1,
            n_prefix=1,
        )
        settings = {"img_size": shape[2:], "feature_size": 8, **VIT, **VOXELS}
        yield _case("UNETR", shape, "decoder5", settings, MEAN)
    # In three dimensions it needs 64 voxels on each side: seconds for a forward pass.
    yield _case("SwinUNETR", PLANE, "encoder10", {"feature_size": 12, **VOXELS}, MEAN)


def _others() -> Iterator[Case]:
    yield Case(
        "monai",
        "TorchVisionFCModel",
        functools.partial(
            nets.TorchVisionFCModel,
            "resnet18",
            num_classes=3,
            use_conv=True,
            pool=None,
            pretrained=False,
        ),
        (2, 3, 64, 64),
        "net(x).flatten(1)",
        "features.layer4",
    )
    yield Case(
        "monai",
        "MILModel",
        functools.partial(nets.MILModel, num_classes=3, mil_mode="att", pretrained=False),
        (2, 1, 3, 64, 64),
        layer="net.layer4",
    )
    yield Case(
        "monai",
        "Classifier",
        functools.partial(nets.Classifier, (1, 64, 64), 3, (8, 16, 32), (2, 2, 2)),
        PLANE,
    )


def _case(
    name: str,
    shape: tuple[int, ...],
    layer: str,
    settings: dict[str, Any],
    score: str = "net(x)",
    label: str = "",
    **options: Any,
) -> Case:
    dims = len(shape) - 2
    build = functools.partial(_build, name, {"spatial_dims": dims, **settings})
    title = f"{name} {label}".strip() + f", {dims}-D"
    return Case("monai", title, build, shape, score, layer, **options)


def _build(name: str, settings: dict[str, Any]) -> nn.Module:
    net: nn.Module = getattr(nets, name)(**settings)
    return net
