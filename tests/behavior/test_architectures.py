"""The vmap pass on torchvision's architectures, with random weights."""

import warnings

import pytest
import torch

from captum_clustered import ClusteredLayerCAM

models = pytest.importorskip("torchvision.models")

# Name, target layer, channel_dim, size of the image.
CASES = [
    ("resnet50", "layer4", 1, 64),
    ("vgg16", "features", 1, 64),
    ("densenet121", "features", 1, 64),
    ("mobilenet_v2", "features", 1, 64),
    ("mobilenet_v3_large", "features", 1, 64),
    ("efficientnet_b0", "features", 1, 64),
    ("convnext_tiny", "features", 1, 64),
    ("googlenet", "inception5b", 1, 64),
    ("squeezenet1_1", "features", 1, 64),
    ("shufflenet_v2_x1_0", "conv5", 1, 64),
    ("swin_t", "norm", -1, 64),
    ("vit_b_16", "encoder.layers.encoder_layer_11.ln_1", -1, 32),
]


def build(name, size):
    torch.manual_seed(0)
    options = {"image_size": size} if name.startswith("vit") else {}
    if name == "googlenet":
        options = {"init_weights": False, "aux_logits": False}
    with torch.random.fork_rng():
        return models.get_model(name, weights=None, num_classes=10, **options).eval()


@pytest.mark.parametrize(("name", "layer", "channel_dim", "size"), CASES)
def test_vmap_pass_is_taken_and_equals_the_loop(monkeypatch, name, layer, channel_dim, size):
    # In float64: the drops of random weights are a millionth of the score, and so is float32's
    # rounding of the score.
    net = build(name, size).double()
    if name == "vit_b_16":
        # Its head is initialized to zero, so that no ablation would change anything.
        torch.nn.init.normal_(net.heads.head.weight)
    first = next(m for m in net.modules() if isinstance(m, torch.nn.Conv2d))
    trunk_rows = []
    first.register_forward_hook(lambda module, args, output: trunk_rows.append(len(output)))
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)).double()

    cam = ClusteredLayerCAM(net, net.get_submodule(layer), clusterer=5, channel_dim=channel_dim)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attribution, clusters = cam.attribute(x, [1, 7], return_clusters=True)
    assert trunk_rows == [2]

    def refuse(request):
        raise RuntimeError("switched off")

    monkeypatch.setattr("captum_clustered._ablation.evaluate.vmap_pass", refuse)
    with pytest.warns(UserWarning, match="switched off"):
        expected, reference = cam.attribute(x, [1, 7], return_clusters=True)
    assert torch.equal(clusters.labels, reference.labels)
    scale = reference.importances.abs().max()
    assert scale > 0
    for found, true in ((attribution, expected), (clusters.importances, reference.importances)):
        assert (found - true).abs().max() <= 1e-8 * true.abs().max()
