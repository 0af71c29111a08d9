"""The layers of a network, and the usual choice among them."""

import pytest
import torch
import torchvision
from small_factories import net as small_net
from torch import nn

from captum_clustered.models import (
    Model,
    example_input,
    find_layer,
    get_layer,
    list_layers,
    load_skeleton,
    usual_layer,
)


@pytest.mark.parametrize(
    ("name", "layer", "channel_dim"),
    [
        ("alexnet", "features", 1),
        ("convnext_tiny", "features", 1),
        ("densenet121", "features", 1),
        ("efficientnet_b0", "features", 1),
        ("efficientnet_v2_s", "features", 1),
        ("googlenet", "inception5b", 1),
        ("inception_v3", "Mixed_7c", 1),
        ("maxvit_t", "blocks.3", 1),
        ("mnasnet0_5", "layers", 1),
        ("mobilenet_v2", "features", 1),
        ("mobilenet_v3_small", "features", 1),
        ("regnet_y_400mf", "trunk_output", 1),
        ("resnet18", "layer4", 1),
        ("resnext50_32x4d", "layer4", 1),
        ("shufflenet_v2_x0_5", "conv5", 1),
        ("squeezenet1_1", "features", 1),
        ("swin_t", "permute", 1),
        ("swin_v2_t", "permute", 1),
        ("vgg11", "features", 1),
        ("vgg16_bn", "features", 1),
        ("vit_b_16", "encoder.layers.encoder_layer_11.ln_1", -1),
        ("wide_resnet50_2", "layer4", 1),
    ],
)
def test_the_usual_layer_of_torchvisions_models(name, layer, channel_dim):
    model = load_skeleton(name)
    found = usual_layer(model)
    assert (found.name, found.kind.channel_dim) == (layer, channel_dim)
    assert found.usual
    assert not found.at_input


@pytest.mark.parametrize(
    ("model", "size", "layer"),
    [
        # Where the last map has one position, an earlier one is the last that is spatial.
        (torchvision.models.resnet18, 32, "layer3"),
        (torchvision.models.vgg11, 64, "features"),
        (torchvision.models.mobilenet_v3_small, 64, "features"),
    ],
)
def test_a_plain_module_and_a_small_input(model, size, layer):
    net = model(weights=None).eval()
    assert find_layer(net, torch.zeros(1, 3, size, size)) == layer


def test_behind_the_last_relu():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).append(nn.Linear(4, 2))
    assert find_layer(net, torch.zeros(1, 3, 8, 8)) == "2"


def test_as_many_channels_as_classes_are_no_classes_before_a_linear_head():
    assert find_layer(small_net(n_classes=12), torch.zeros(1, 3, 32, 32)) == "1"


def test_a_network_that_ends_with_the_maps_of_its_classes():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 7, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert find_layer(net, torch.zeros(1, 3, 8, 8)) == "1"


def test_no_usual_layer():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(ValueError, match="Sequential has no layer that is the usual choice"):
        find_layer(net, torch.zeros(1, 3, 2, 2))


def test_a_layer_by_its_name():
    net = small_net()
    assert get_layer(net, "1") is net[1]
    assert get_layer(Model("net", net), "1") is net[1]
    with pytest.raises(ValueError, match="mine has no layer '12'"):
        get_layer(Model("mine", net), "12")
    with pytest.raises(ValueError, match="has no layer ''"):
        get_layer(net, "")


def test_maps_and_pooled_inputs_are_listed():
    found = {layer.name: layer for layer in list_layers(small_net(), torch.zeros(1, 3, 32, 32))}
    assert list(found) == ["0", "1", "2"]
    assert found["1"].usual
    assert found["1"].shape == found["2"].shape == (1, 12, 8, 8)
    assert found["2"].at_input


def test_deep_layers_are_listed_on_demand():
    net = nn.Sequential(nn.Sequential(nn.Sequential(nn.Conv2d(3, 2, 1))), nn.Flatten())
    inputs = torch.zeros(1, 3, 2, 2)
    names = [[layer.name for layer in list_layers(net, inputs, deep)] for deep in (False, True)]
    assert names == [["0", "0.0"], ["0", "0.0", "0.0.0"]]


class TestExampleInput:
    def test_of_a_module(self):
        assert example_input(small_net(channels=1)).shape == (1, 1, 224, 224)
        assert example_input(small_net(), 16).shape == (1, 3, 16, 16)

    def test_an_image_size_that_is_no_number_is_not_asked_for(self):
        net = small_net()
        net.image_size = (32, 32)
        assert example_input(net).shape == (1, 3, 224, 224)

    def test_of_weights(self):
        assert example_input(load_skeleton("inception_v3")).shape == (1, 3, 299, 299)

    def test_of_a_transformer(self):
        # Its default weights are for 518 x 518, but it is built for 224 x 224.
        inputs = example_input(load_skeleton("vit_h_14"))
        assert inputs.shape == (1, 3, 224, 224)
        assert inputs.is_meta
