"""A tenth of the zoo, of the libraries that the tests install, and the zoo's own code."""

import dataclasses

import pytest
import torch
from torch import nn
from zoo import timm_nets, torchvision_nets
from zoo.cases import Case, path_of, randomize
from zoo.checks import Finding, check
from zoo.page import page, plain_words, summary

from captum_clustered import ClusteredLayerCAM

CASES = {
    (case.library, case.name): case
    for module in (torchvision_nets, timm_nets)
    for case in module.cases()
}
QUICK = {
    "torchvision": """
        efficientnet_b0 lraspp_mobilenet_v3_large mnasnet0_5 mnasnet1_0 mobilenet_v2
        mobilenet_v3_large mobilenet_v3_small r3d_18 regnet_x_400mf regnet_y_400mf resnet18
        shufflenet_v2_x0_5 shufflenet_v2_x1_0 squeezenet1_0 squeezenet1_1 swin_v2_t
    """,
    "timm": """
        coat_tiny convnext_atto dla46x_c edgenext_xx_small efficientformerv2_s0 efficientvit_b0
        ghostnet_100 lcnet_050 mambaout_femto mnasnet_small mobilenetv3_small_050 mobilevit_xxs
        mobilevitv2_050 nest_tiny_jx pit_ti_224 regnety_002 repghostnet_050 semnasnet_075
        tinynet_e vit_tiny_patch16_224 xcit_nano_12_p16_224
    """,
}


@pytest.mark.filterwarnings("ignore:Importing from timm")
@pytest.mark.parametrize(
    ("library", "name"),
    [(library, name) for library, names in QUICK.items() for name in names.split()],
)
def test_one_pass_equals_plain_hooks_and_changes_nothing(library, name):
    finding = check(CASES[library, name], timed=False)
    assert finding.faults == []
    assert finding.passes == 1
    assert finding.per_ablation == ""
    assert finding.error < 1e-3


class Net(nn.Module):
    """Blocks, a head, and whatever a test makes it do."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.blocks(x).mean((2, 3)))


class Refused(Net):
    """Has a layer whose batch is not that of the input."""

    def forward(self, x):
        return super().forward(torch.cat([x, x])).view(2, len(x), 2).sum(0)


class Branching(Net):
    """Looks at a value."""

    def forward(self, x):
        scores = super().forward(x)
        return scores * 2 if scores.sum() > 1e9 else scores


class Ignoring(Net):
    """Does not need the layer."""

    def forward(self, x):
        return super().forward(x) * 0


def found(net, **options):
    case = Case("made up", "net", net, (2, 3, 4, 4), layer="blocks[-1]", **options)
    return check(case, n_clusters=2, timed=False)


def test_findings_of_small_networks():
    assert found(Net).faults == []
    assert found(Net).passes == 1
    branching = found(Branching)
    assert branching.faults == []
    assert plain_words(branching.per_ablation) == "its control flow depends on the layer's values"
    assert found(Ignoring).faults == ["nothing depends on the layer: this proves nothing"]
    (refused,) = found(Refused).faults
    assert refused.endswith("LayerGradCam works")


def test_wrong_drops_are_a_fault(monkeypatch):
    def wrong(self, *args, **kwargs):
        attribution, clusters = attribute(self, *args, **kwargs)
        return attribution, dataclasses.replace(clusters, importances=clusters.importances * 1.01)

    attribute = ClusteredLayerCAM.attribute
    monkeypatch.setattr(ClusteredLayerCAM, "attribute", wrong)
    (fault,) = found(Net).faults
    assert fault == "drops differ by 1.0e-02 of the largest"


def test_a_changed_model_is_a_fault(monkeypatch):
    def changing(self, *args, **kwargs):
        self.forward_func.head.bias.data += 1
        self.layer.weight.requires_grad_(False)
        self.layer.register_forward_hook(lambda *_: None)
        return attribute(self, *args, **kwargs)

    attribute = ClusteredLayerCAM.attribute
    monkeypatch.setattr(ClusteredLayerCAM, "attribute", changing)
    faults = found(Net).faults
    for name in ("blocks.1.weight", "head.bias", "mode and hooks of blocks.1"):
        assert f"changed: {name}" in faults


def test_layers_are_python_code():
    net = Net()
    assert path_of(net, "blocks") == "blocks"
    assert path_of(net, "blocks.0") == "blocks[0]"
    assert path_of(net, "blocks.1") == "blocks[-1]"


def test_networks_whose_weights_start_constant_are_randomized():
    net = Net()
    nn.init.zeros_(net.head.weight)
    randomize(net, net, torch.ones(2, 3, 4, 4))
    assert net.head.weight.unique().numel() == net.head.weight.numel()
    assert not net.training


def finding(name, **options):
    settings = {"library": "timm", "family": "resnet", "score": "net(x)", "layer": "layer4"}
    settings |= {"channel_dim": 1, "at_input": False, "n_prefix": None, "is_usual": True}
    return Finding(name=name, **{**settings, "passes": 1, "error": 0.0, "cost": 1.25, **options})


def test_the_page_has_one_row_for_what_is_used_alike():
    text = page(
        [
            finding("resnet18"),
            finding("resnet34", cost=1.52),
            finding("vit", family="vit", layer="norm", channel_dim=-1, n_prefix=1, is_usual=False),
            finding(
                "gated", score="net(x)[0]", passes=12, per_ablation="calls .item() on a tensor"
            ),
        ]
    )
    assert "| **resnet**: resnet18, resnet34 | `layer4` ✓ |  |  | 1 | 1.2 to 1.5 |" in text
    assert "| **vit**: vit | `norm` | `channel_dim=-1`, 1 prefix token |  | 1 | 1.2 |" in text
    why = "one per ablation: its control flow depends on the layer's values"
    assert f"| **resnet**: gated | `layer4` ✓ |  | `net(x)[0]` | {why} | 1.2 |" in text
    assert "3 of 4 (75 %)" in text
    assert "Faults found: none." in text


def test_faults_are_named_and_counted():
    findings = [finding("resnet18", faults=["changed: conv1.weight"])]
    assert "timm resnet18: changed: conv1.weight" in page(findings)
    assert "all: 1 architectures, 1 in one pass, 0 per ablation, 1 with faults" in summary(findings)


def test_a_new_reason_for_the_slow_path_needs_words():
    with pytest.raises(ValueError, match="no plain words for: something new"):
        plain_words("something new")
