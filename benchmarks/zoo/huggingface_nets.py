"""Hugging Face transformers: vision models built from small configurations."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import transformers
from torch import nn

from zoo.cases import Case

SIZE = 64
LOGITS = "net(pixel_values=x).logits"
POOLED = "net(pixel_values=x).pooler_output"
SEGMENTED = "net(pixel_values=x).logits.mean((2, 3))"
# The best box of each class.
DETECTED = "net(pixel_values=x).logits.amax(1)"
TWO_TEXTS = "tensor([[98, 5, 99], [98, 7, 99]])"
SHAPE = (2, 3, SIZE, SIZE)
CLIP = (2, 4, 3, 32, 32)

WIDTHS = {"hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 4}
VIT = {**WIDTHS, "num_hidden_layers": 3, "image_size": SIZE, "patch_size": 16}
VIDEO = {**VIT, "image_size": 32, "num_frames": 4, "num_hidden_layers": 2}
STAGES = {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]}
FLAT = {"hidden_sizes": [16, 32, 32, 48], "depths": [1, 1, 1, 1]}
SEGFORMER = {
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [16, 16, 32, 32],
    "num_attention_heads": [1, 1, 2, 2],
    "decoder_hidden_size": 32,
}
SWIN = {
    "image_size": SIZE,
    "embed_dim": 24,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
}
DETR = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_queries": 8,
}
TOWER = {**VIT, "projection_dim": 24}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 16,
    "bos_token_id": 98,
    "eos_token_id": 99,
}

# Name, layer, prefix tokens or None for a map, settings of ``<name>Config``.
IMAGE_CLASSIFIERS: list[tuple[str, str, int | None, dict[str, Any]]] = [
    ("Beit", "beit.layers[-1].layernorm_before", 1, {**VIT, "use_relative_position_bias": True}),
    (
        "Bit",
        "bit.norm",
        None,
        {"embedding_size": 32, "hidden_sizes": [128] * 4, "depths": [1] * 4},
    ),
    ("ConvNext", "convnext.encoder.stages[-1]", None, STAGES),
    ("ConvNextV2", "convnextv2.encoder.stages[-1]", None, STAGES),
    ("Cvt", "cvt.encoder.stages[-1].layers[-1].layernorm_before", 1, {}),
    ("Data2VecVision", "data2vec_vision.encoder.layer[-1].layernorm_before", 1, VIT),
    ("DeiT", "deit.layers[-1].layernorm_before", 2, VIT),
    ("Dinov2", "dinov2.encoder.layer[-1].norm1", 1, VIT),
    ("Dinov2WithRegisters", "dinov2_with_registers.encoder.layer[-1].norm1", 5, VIT),
    ("DonutSwin", "donut.encoder.layers[-1].blocks[-1].layernorm_before", 0, SWIN),
    (
        "EfficientNet",
        "efficientnet.encoder.top_activation",
        None,
        {
            "image_size": SIZE,
            "width_coefficient": 0.5,
            "depth_coefficient": 0.3,
            "hidden_dim": 640,
        },
    ),
    (
        "FocalNet",
        "focalnet.layernorm",
        0,
        {
            "image_size": SIZE,
            "embed_dim": 24,
            "hidden_sizes": [24, 48],
            "depths": [1, 1],
            "focal_levels": [2, 2],
            "focal_windows": [3, 3],
        },
    ),
    ("HGNetV2", "encoder.stages[-1]", None, {}),
    (
        "Hiera",
        "hiera.encoder.stages[-1].layers[0].proj",
        0,
        {
            "image_size": [SIZE, SIZE],
            "embed_dim": 24,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 2, 4, 8],
        },
    ),
    ("IJepa", "ijepa.layernorm", 0, VIT),
    (
        "Levit",
        "levit.encoder.stages[-2].layers[1]",
        0,
        {
            "image_size": SIZE,
            "hidden_sizes": [32, 48, 64],
            "key_dim": [8, 8, 8],
            "num_attention_heads": [2, 3, 4],
            "depths": [1, 1, 1],
        },
    ),
    ("MobileNetV1", "mobilenet_v1.layer[-1]", None, {"image_size": SIZE}),
    ("MobileNetV2", "mobilenet_v2.conv_1x1", None, {"image_size": SIZE}),
    ("MobileViT", "mobilevit.conv_1x1_exp", None, {"image_size": SIZE}),
    ("MobileViTV2", "mobilevitv2.encoder.layer[-1]", None, {"image_size": SIZE}),
    ("PoolFormer", "norm", None, FLAT),
    (
        "Pvt",
        "pvt.encoder.block[-1][-1].layer_norm_1",
        1,
        {**FLAT, "image_size": SIZE, "num_attention_heads": [1, 1, 2, 4]},
    ),
    (
        "PvtV2",
        "pvt_v2.encoder.layers[-1].layer_norm",
        0,
        {**FLAT, "image_size": SIZE, "num_attention_heads": [1, 1, 2, 4]},
    ),
    (
        "RegNet",
        "regnet.encoder.stages[-1]",
        None,
        {**STAGES, "embedding_size": 16, "groups_width": 8},
    ),
    ("ResNet", "resnet.encoder.stages[-1]", None, {**STAGES, "embedding_size": 16}),
    ("Segformer", "segformer.stages[-1]", None, SEGFORMER),
    ("SwiftFormer", "norm", None, {"image_size": SIZE, "depths": [1, 1, 1, 1]}),
    ("Swin", "swin.layernorm", 0, SWIN),
    ("Swinv2", "swinv2.layernorm", 0, SWIN),
    ("TextNet", "textnet.encoder.stages[-1]", None, {}),
    ("ViT", "vit.layers[-1].layernorm_before", 1, VIT),
    ("ViTMSN", "vit.layers[-1].layernorm_before", 1, VIT),
]


def cases() -> Iterator[Case]:
    """Yield the cases of this library."""
    for name, layer, n_prefix, settings in IMAGE_CLASSIFIERS:
        yield _case(f"{name}ForImageClassification", f"{name}Config", settings, layer, n_prefix)
    yield from _towers()
    yield from _dense()
    yield from _video()


def _towers() -> Iterator[Case]:
    """Yield vision transformers without a head of classes, and CLIP's two towers."""
    yield _case(
        "CLIPVisionModel",
        "CLIPVisionConfig",
        TOWER,
        "encoder.layers[-1].layer_norm1",
        1,
        score=POOLED,
    )
    yield _case(
        "SiglipVisionModel",
        "SiglipVisionConfig",
        VIT,
        "encoder.layers[-1].layer_norm1",
        0,
        score=POOLED,
    )
    yield _case("DINOv3ViTModel", "DINOv3ViTConfig", VIT, "model.layer[-1].norm1", 1, score=POOLED)
    yield _case(
        "ViTMAEModel",
        "ViTMAEConfig",
        VIT,
        "layers[-1].layernorm_before",
        1,
        score="net(pixel_values=x, noise=torch.zeros(2, 16)).last_hidden_state[:, 0]",
    )
    yield _case(
        "CLIPModel",
        "CLIPConfig",
        {"text_config": TEXT, "vision_config": VIT, "projection_dim": 24},
        "vision_model.encoder.layers[-1].layer_norm1",
        1,
        score=f"net(input_ids=torch.{TWO_TEXTS}, pixel_values=x).logits_per_image",
    )


def _dense() -> Iterator[Case]:
    """Yield networks for segmentation and detection."""
    yield _case(
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        SEGFORMER,
        "segformer.stages[-1]",
        None,
        score=SEGMENTED,
    )
    yield _case(
        "BeitForSemanticSegmentation",
        "BeitConfig",
        {**VIT, "num_hidden_layers": 4, "out_indices": [1, 2, 3, 4]},
        "decode_head.fpn_bottleneck",
        None,
        score=SEGMENTED,
    )
    yield _case(
        "MobileNetV2ForSemanticSegmentation",
        "MobileNetV2Config",
        {"image_size": SIZE},
        "mobilenet_v2.layer[-1]",
        None,
        score=SEGMENTED,
    )
    yield _case(
        "MobileViTForSemanticSegmentation",
        "MobileViTConfig",
        {"image_size": SIZE},
        "mobilevit.encoder.layer[-1]",
        None,
        score=SEGMENTED,
    )
    yield _case(
        "DPTForSemanticSegmentation",
        "DPTConfig",
        {
            **VIT,
            "num_hidden_layers": 4,
            "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [16, 32, 48, 48],
            "fusion_hidden_size": 16,
        },
        "neck.fusion_stage.layers[-1]",
        None,
        score=SEGMENTED,
    )
    yield _case(
        "UperNetForSemanticSegmentation",
        "UperNetConfig",
        {"backbone_config": _backbone("ConvNext"), "hidden_size": 16, "use_auxiliary_head": False},
        "decode_head.fpn_bottleneck",
        None,
        score=SEGMENTED,
    )
    yield _case(
        "Mask2FormerForUniversalSegmentation",
        "Mask2FormerConfig",
        {
            "backbone_config": _swin_backbone(),
            "hidden_dim": 32,
            "feature_size": 32,
            "mask_feature_size": 32,
            "num_attention_heads": 4,
            "encoder_layers": 1,
            "decoder_layers": 2,
            "dim_feedforward": 64,
            "encoder_feedforward_dim": 64,
            "num_queries": 8,
        },
        "model.pixel_level_module.encoder.hidden_states_norms.stage4",
        0,
        score="net(pixel_values=x).class_queries_logits.amax(1)",
    )
    for name in ("Detr", "ConditionalDetr"):
        yield _case(
            f"{name}ForObjectDetection",
            f"{name}Config",
            {**DETR, "backbone_config": _backbone("ResNet", "stage4")},
            "model.input_projection",
            None,
            score=DETECTED,
        )
    yield _case(
        "YolosForObjectDetection",
        "YolosConfig",
        {**VIT, "image_size": [SIZE, SIZE], "num_detection_tokens": 8},
        "vit.encoder.layer[-1].layernorm_before",
        1,
        score=DETECTED,
    )
    yield _case(
        "RTDetrForObjectDetection",
        "RTDetrConfig",
        {"num_queries": 8},
        "model.encoder_input_proj[-1]",
        None,
        score=DETECTED,
    )


def _video() -> Iterator[Case]:
    yield _case(
        "VideoMAEForVideoClassification",
        "VideoMAEConfig",
        VIDEO,
        "videomae.encoder.layer[-1].layernorm_before",
        0,
        shape=CLIP,
    )
    yield _case(
        "TimesformerForVideoClassification",
        "TimesformerConfig",
        VIDEO,
        "timesformer.encoder.layer[-1].temporal_dense",
        0,
        shape=CLIP,
    )
    yield _case(
        "VivitForVideoClassification",
        "VivitConfig",
        {**VIDEO, "tubelet_size": [2, 16, 16]},
        "vivit.layers[-1].layernorm_before",
        1,
        shape=CLIP,
    )


def _backbone(name: str, *stages: str) -> Any:
    stages = stages or ("stage1", "stage2", "stage3", "stage4")
    config = getattr(transformers, f"{name}Config")
    more = {"embedding_size": 16} if name == "ResNet" else {}
    return config(**STAGES, **more, out_features=list(stages))


def _swin_backbone() -> Any:
    return transformers.SwinConfig(
        image_size=SIZE,
        embed_dim=24,
        depths=[1, 1, 1, 1],
        num_heads=[2, 2, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def _case(
    model: str,
    config: str,
    settings: dict[str, Any],
    layer: str,
    n_prefix: int | None,
    shape: tuple[int, ...] = SHAPE,
    score: str = LOGITS,
) -> Case:
    return Case(
        "transformers",
        model,
        functools.partial(_build, model, config, settings),
        shape,
        score,
        layer,
        channel_dim=1 if n_prefix is None else -1,
        n_prefix=n_prefix or 0,
    )


def _build(model: str, config: str, settings: dict[str, Any]) -> nn.Module:
    transformers.logging.set_verbosity_error()
    net: nn.Module = getattr(transformers, model)(
        getattr(transformers, config)(num_labels=5, **settings)
    )
    return net
