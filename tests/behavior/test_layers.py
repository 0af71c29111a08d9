"""Layers of all kinds, at all places."""

import itertools
import warnings

import pytest
import torch
from captum.attr import LayerGradCam
from nets import MlpHead, images
from torch import nn

from captum_clustered import ClusteredLayerCAM, tokens_to_map
from captum_clustered._ablation import memory_cap


def explain(net, layer, x, target=0, *, fallback=False, **arguments):
    """The attribution, by the vmapped pass unless ``fallback``."""
    constructor = {k: arguments.pop(k) for k in ("clusterer", "channel_dim") if k in arguments}
    cam = ClusteredLayerCAM(net, layer, **{"clusterer": 2, **constructor})
    if fallback:
        with pytest.warns(UserWarning, match="once for each ablation"):
            return cam.attribute(x, target, return_clusters=True, **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return cam.attribute(x, target, return_clusters=True, **arguments)


class Residual(nn.Module):
    """A residual block with a convolution on its skip path, as in a ResNet."""

    def __init__(self, in_place):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.skip, self.relu = nn.Conv2d(2, 4, 1), nn.ReLU(inplace=True)
        self.fc, self.in_place = nn.Linear(4, 3), in_place

    def forward(self, x):
        out = self.conv2(self.relu(self.conv1(x)))
        if self.in_place:
            out += self.skip(x)
        else:
            out = out + self.skip(x)
        return self.fc(self.relu(out).flatten(2).mean(2))


@pytest.mark.parametrize("layer", ["conv1", "conv2", "skip"])
@pytest.mark.parametrize("in_place", [False, True])
def test_inside_a_residual_block_and_on_the_skip_path(layer, in_place):
    torch.manual_seed(0)
    net = Residual(in_place).double().eval()
    # Also if only skip(x) depends on the cluster, which out += skip(x) adds in place.
    attribution, clusters = explain(net, getattr(net, layer), images())
    net.in_place = False
    expected, plain = explain(net, getattr(net, layer), images())
    torch.testing.assert_close(attribution, expected)
    torch.testing.assert_close(clusters.importances, plain.importances)


class KeywordOnly(nn.Module):
    """Calls its layer with keyword arguments, which Captum's ablation cannot."""

    class Block(nn.Module):
        def forward(self, *, features, scale=1.0):
            return features * scale

    def __init__(self):
        super().__init__()
        self.net, self.block = MlpHead(), self.Block()

    def forward(self, x):
        return self.net.head(self.net.pool(self.block(features=self.net.conv(self.net.trunk(x)))))


def test_a_layer_called_with_keywords_only():
    model = KeywordOnly().double()
    found, _ = explain(model, model.block, images(), attribute_to_layer_input=True)
    expected, _ = explain(model, model.net.conv, images())
    torch.testing.assert_close(found, expected)


class ListLayer(nn.Module):
    class Pair(nn.Module):
        def forward(self, x):
            return [x[:, :2], x[:, 2:]]

    def __init__(self):
        super().__init__()
        self.pair = self.Pair()

    def forward(self, x):
        first, second = self.pair(x)
        return (first.mean((1, 2, 3)) * second.mean((1, 2, 3)))[:, None]


def test_a_layer_that_returns_a_list_gives_a_tuple():
    x = images(channels=5)
    net = ListLayer()
    attribution, clusters = explain(net, net.pair, x)
    assert [tuple(a.shape) for a in attribution] == [(3, 1, 6, 5)] * 2
    assert isinstance(clusters.importances, tuple)


class Twice(nn.Module):
    """Returns one tensor in two places, and the model writes into one of them."""

    class Both(nn.Module):
        def forward(self, x):
            y = x * 1
            return y, y

    def __init__(self, is_plain):
        super().__init__()
        self.both, self.is_plain = self.Both(), is_plain

    def forward(self, x):
        first, second = self.both(x)
        first.mul_(second.mean((2, 3), keepdim=True))
        scores = (second**2).mean((2, 3))
        return scores + 1 if self.is_plain and bool(scores.sum() > 1e9) else scores


@pytest.mark.parametrize("fallback", [False, True])
def test_a_tensor_that_a_layer_returns_twice_is_one_tensor_with_two_maps(fallback):
    x, net = images(), Twice(is_plain=fallback)
    labels = torch.tensor([0, 1])
    attribution, clusters = explain(net, net.both, x, clusterer=labels, fallback=fallback)
    expected = ((x * x.mean((2, 3), keepdim=True)) ** 2).mean((2, 3))[:, 0]
    torch.testing.assert_close(clusters.score, expected)
    torch.testing.assert_close(clusters.importances, torch.stack([expected, 0 * expected], 1))
    assert [tuple(each.shape) for each in attribution] == [(3, 1, 6, 5)] * 2
    assert attribution[0].data_ptr() != attribution[1].data_ptr()
    assert torch.equal(*attribution)


def test_a_layer_that_returns_a_tensor_twice_has_the_maps_of_layer_grad_cam():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.both, self.fc = Twice.Both(), nn.Linear(2, 3)

        def forward(self, x):
            first, second = self.both(x)
            return self.fc((first + second).mean((2, 3)))

    net, x = Sum().double().eval(), images().abs()
    expected = LayerGradCam(net, net.both).attribute(x, 0)
    found = ClusteredLayerCAM(net, net.both, clusterer=None, scaling="density").attribute(x, 0)
    assert len(found) == len(expected) == 2
    # Only a linear layer follows, so both methods have the same map.
    for ours, captums in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, captums)


def test_recurrent_layers_with_several_tensors_are_refused_by_their_shape():
    # The hidden state of an LSTM is (layers, N, H).
    net = nn.LSTM(4, 5, batch_first=True)
    x = torch.rand(3, 6, 4)
    with pytest.raises(ValueError, match=r"N = 3.*got shape \(1, 3, 5\)"):
        ClusteredLayerCAM(lambda x: net(x)[0].sum((1, 2)), net).attribute(x)


def test_a_volume():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv3d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool3d(2),
        nn.Flatten(),
        nn.Linear(48, 2),
    ).eval()
    x = torch.rand(2, 1, 8, 6, 4)
    attribution, _ = explain(net, net[1], x)
    assert attribution.shape == (2, 1, 8, 6, 4)
    assert attribution.abs().sum() > 0


def test_the_first_layer_and_the_last():
    net, x = MlpHead().double(), images()
    for layer in (net.trunk[0], net.head[3]):
        attribution, _ = explain(net, layer, x)
        assert attribution.shape == LayerGradCam(net, layer).attribute(x, 0).shape


def test_attention_tokens_become_a_map():
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    layer, head = nn.LayerNorm(8), nn.Linear(8, 3)

    class Vit(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.block, self.head = layer, block, head

        def forward(self, x):
            return self.head(self.block(self.layer(x))[:, 0])

    net = Vit().eval()
    attribution, _ = explain(net, net.layer, torch.rand(2, 1 + 6, 8), channel_dim=-1)
    assert attribution.shape == (2, 1, 7)
    assert tokens_to_map(attribution, (2, 3), n_prefix=1).shape == (2, 1, 2, 3)
    assert attribution[:, :, 1:].abs().sum() > 0


def test_a_number_of_calls_that_changes_between_passes_takes_the_reference_path():
    passes = itertools.count()

    class Changing(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            # Not in an attribute, which would be put back after each pass.
            for _ in range(2 + next(passes) % 2):
                x = self.relu(x)
            return x.mean((1, 2, 3)).square()

    net = Changing()
    with pytest.warns(UserWarning, match="number of the layer's calls changed"):
        attribution = ClusteredLayerCAM(net, net.relu, clusterer=2).attribute(images())
    assert attribution.shape == (3, 1, 6, 5)


class TestTorchvision:
    """Networks that are too large to write down here."""

    models = pytest.importorskip("torchvision.models")

    def test_video_resnet(self):
        torch.manual_seed(0)
        net = self.models.video.r3d_18(weights=None, num_classes=3).eval()
        x = torch.rand(1, 3, 4, 32, 32)
        attribution, clusters = explain(net, net.layer4, x)
        assert attribution.shape == LayerGradCam(net, net.layer4).attribute(x, 0).shape
        assert clusters.importances.abs().sum() > 0

    def test_downsampling_of_a_resnet(self):
        torch.manual_seed(0)
        net = self.models.resnet18(weights=None, num_classes=3).eval()
        x = torch.rand(1, 3, 64, 64)
        attribution, _ = explain(net, net.layer4[0].downsample, x)
        assert attribution.shape == (1, 1, 2, 2)

    def test_detection_score_of_faster_rcnn(self):
        torch.manual_seed(0)
        detector = self.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
            weights=None,
            weights_backbone=None,
            num_classes=3,
            min_size=64,
            max_size=64,
            box_score_thresh=0.0,
            rpn_post_nms_top_n_test=10,
        ).eval()

        def best_score(x):
            detections = detector(list(x))
            return torch.stack([d["scores"].max() for d in detections])

        x = torch.rand(2, 3, 64, 64)
        attribution, clusters = explain(best_score, detector.backbone.body, x, None, fallback=True)
        # The body returns a dictionary of two feature maps.
        assert len(attribution) == 2
        torch.testing.assert_close(clusters.score, best_score(x).detach())


def test_the_cap_on_elements_is_in_force():
    assert memory_cap.MAX_ELEMENTS == 2**28
