"""torchvision: classification, segmentation, video and detection."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from torch import nn
from torchvision import models

from zoo.cases import Case

# Their weights take gigabytes or minutes to draw; their smaller siblings are here.
TOO_LARGE = (
    "convnext_large",
    "regnet_x_32gf",
    "regnet_y_32gf",
    "regnet_y_128gf",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
    "efficientnet_v2_l",
)
SIZE = 64
SIZES = {"inception_v3": 128, "maxvit_t": 224}


def cases() -> Iterator[Case]:
    """Yield the cases of this library."""
    yield from _classification()
    yield from _segmentation()
    yield from _video()
    yield from _detection()


_case = functools.partial(Case, "torchvision")


def _classification() -> Iterator[Case]:
    for name in models.list_models(module=models):
        if name in TOO_LARGE:
            continue
        size = SIZES.get(name, SIZE)
        options: dict[str, object] = {"num_classes": 10}
        if name.startswith("vit"):
            options["image_size"] = size
        if name in ("googlenet", "inception_v3"):
            # Drawing its weights takes a minute.
            options["init_weights"] = False
        yield _case(name, _builder(name, **options), (2, 3, size, size))


def _segmentation() -> Iterator[Case]:
    for name in models.list_models(module=models.segmentation):
        yield _case(
            name,
            _builder(name, weights_backbone=None, num_classes=5),
            (2, 3, SIZE, SIZE),
            score='net(x)["out"].mean((2, 3))',
            layer="backbone.layer4" if "resnet" in name else 'backbone["16"]',
            family="segmentation",
        )


def _video() -> Iterator[Case]:
    for name in models.list_models(module=models.video):
        if name in ("swin3d_b", "swin3d_s"):
            continue
        frames, size, options = 8, 32, {"num_classes": 10}
        layer, channel_dim, n_prefix = "layer4", 1, 0
        if name == "s3d":
            frames, size, layer = 16, 224, "features"
        elif name.startswith("swin3d"):
            size, layer, channel_dim = 64, "norm", -1
        elif name.startswith("mvit"):
            frames, size, channel_dim, n_prefix = 16, 224, -1, 1
            layer = "blocks[-1].norm1"
        yield _case(
            name,
            _builder(name, **options),
            (1 if size == 224 else 2, 3, frames, size, size),
            layer=layer,
            channel_dim=channel_dim,
            n_prefix=n_prefix,
            family="video",
        )


def _detection() -> Iterator[Case]:
    for name in models.list_models(module=models.detection):
        options: dict[str, object] = {"weights_backbone": None}
        if not name.startswith("ssd"):
            options |= {"min_size": 96, "max_size": 128}
        if not name.startswith("keypoint"):
            options["num_classes"] = 4
        if "rcnn" in name:
            # Of a thousand boxes of noise, fifty are enough.
            options |= {"rpn_pre_nms_top_n_test": 100, "rpn_post_nms_top_n_test": 50}
        else:
            # Random weights find nothing with the usual threshold.
            options |= {"score_thresh": 0.0, "topk_candidates": 50}
        layer = "backbone.body.layer4" if "resnet" in name else 'backbone.body["16"]'
        if name.startswith("ssd"):
            layer = "backbone.features[-1]"
        yield _case(
            name,
            _builder(name, **options),
            (1, 3, 96, 96),
            score='torch.stack([found["scores"].sum() for found in net(list(x))])',
            layer=layer,
            target=None,
            family="detection",
        )


def _builder(name: str, **options: object) -> functools.partial[nn.Module]:
    return functools.partial(models.get_model, name, weights=None, **options)
