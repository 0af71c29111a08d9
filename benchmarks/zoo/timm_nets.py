"""timm: at least one network of most families, and the small ones of others."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import timm
from torch import nn

from zoo.cases import Case

NAMES = """
resnet18 resnet26t resnetv2_50 seresnet50 ecaresnet26t gcresnext26ts resnest14d res2net50_26w_4s
skresnet18 lambda_resnet26t halonet26t botnet26t_256 convnext_atto convnextv2_atto
efficientnet_b0 tf_efficientnetv2_b0 mixnet_s regnety_002 regnetz_b16 nfnet_f0 nf_resnet26
eca_nfnet_l0 coatnet_nano_rw_224 coat_tiny maxvit_rmlp_pico_rw_256 coatnext_nano_rw_224
swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 swinv2_tiny_window8_256 vit_tiny_patch16_224
deit3_small_patch16_224 deit_tiny_distilled_patch16_224 eva02_tiny_patch14_224 mixer_s16_224
gmlp_s16_224 resmlp_12_224 poolformer_s12 poolformerv2_s12 caformer_s18 convformer_s18
edgenext_xx_small fastvit_t8 fastvit_sa12 ghostnet_100 ghostnetv2_100 mobilenetv4_conv_small
mobilenetv4_hybrid_medium mobilenetv3_small_050 hrnet_w18_small densenet121 densenetblur121d
inception_v3 inception_v4 inception_resnet_v2 inception_next_atto legacy_xception xception41 dla34
dla46x_c dpn68b cspdarknet53 cspresnet50 mobileone_s0 repvgg_a0 repghostnet_050 levit_128s
levit_conv_128s tiny_vit_5m_224 davit_tiny focalnet_tiny_srf hiera_tiny_224 rdnet_tiny
cait_xxs24_224 xcit_nano_12_p16_224 pit_ti_224 tnt_s_patch16_224 twins_pcpvt_small
twins_svt_small visformer_tiny volo_d1_224 pvt_v2_b0 mvitv2_tiny efficientformer_l1
efficientformerv2_s0 efficientvit_b0 efficientvit_m0 convit_tiny
convmixer_768_32 nest_tiny_jx sequencer2d_s selecsls42b tresnet_m vovnet39a ese_vovnet19b_dw
hardcorenas_a fbnetc_100 mnasnet_small mobilevit_xxs mobilevitv2_050 repvit_m1 starnet_s1
swiftformer_xs shvit_s1 nextvit_small gcvit_xxtiny hgnet_tiny hgnetv2_b0 rexnet_100
legacy_seresnet18 vit_small_patch14_dinov2 vitamin_small_224 vit_relpos_small_patch16_224
resnet50_clip fasternet_t0 ghostnetv3_100 mambaout_femto csatv2 convnext_tiny_hnf
bat_resnext26ts eca_botnext26ts_256 vit_wee_patch16_reg1_gap_256
 spnasnet_100 semnasnet_075 lcnet_050 tinynet_e
vit_pe_core_tiny_patch16_384 vit_small_patch16_dinov3
"""
SIZE = 64
# What other networks need at least.
SIZES = {
    "halonet26t": 256,
    "inception_v3": 128,
    "inception_v4": 128,
    "inception_resnet_v2": 128,
    "efficientformer_l1": 224,
    "bat_resnext26ts": 256,
    "csatv2": 128,
    "efficientvit_m0": 128,
    "levit_128s": 128,
    "levit_conv_128s": 128,
    "shvit_s1": 128,
}


def cases() -> Iterator[Case]:
    """Yield the cases of this library."""
    for name in NAMES.split():
        size = SIZES.get(name, SIZE)
        build = functools.partial(_build, name, size)
        yield Case("timm", name, build, (2, 3, size, size))


def _build(name: str, size: int) -> nn.Module:
    try:
        # Transformers are built for one size.
        net: nn.Module = timm.create_model(name, num_classes=10, img_size=size)
    except TypeError:
        net = timm.create_model(name, num_classes=10)
    return net
