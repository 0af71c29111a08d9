import math

import pytest
import torch
from captum.attr import LayerAttribution
from nets import GapLinear, images

from captum_clustered.comparison.controls import (
    CenterGaussian,
    FakeCAM,
    MaskMap,
    MeanActivation,
    RandomMap,
)
from captum_clustered.comparison.methods import ChannelAblation


def test_fake_cam_is_one_but_for_the_first_pixel():
    net = GapLinear().double()
    maps = FakeCAM(net, net.relu).attribute(images(2), target=1)
    assert maps.shape == (2, 1, 6, 5)
    assert (maps.flatten(1)[:, 0] == 0).all()
    assert (maps.flatten(1)[:, 1:] == 1).all()


def test_center_gaussian_by_hand():
    net = GapLinear().double()
    maps = CenterGaussian(net, net.relu).attribute(torch.zeros(1, 2, 4, 2, dtype=torch.float64))
    # Pixel centers at +-1/8 and +-3/8 of the height, +-1/4 of the width; sigma is 1/4.
    assert maps[0, 0, 1, 0].item() == pytest.approx(math.exp(-(0.5**2 + 1) / 2))
    assert maps[0, 0, 0, 1].item() == pytest.approx(math.exp(-(1.5**2 + 1) / 2))
    torch.testing.assert_close(maps, maps.flip(2, 3))


def test_mean_activation_is_the_layers_mean_before_what_follows_in_place():
    net = GapLinear().double()
    net.relu.inplace = True
    x = images(2)
    maps = MeanActivation(net, net.conv).attribute(x)
    torch.testing.assert_close(maps, net.conv(x).mean(1, keepdim=True))
    at_input = MeanActivation(net, net.relu).attribute(x, attribute_to_layer_input=True)
    torch.testing.assert_close(at_input, maps)


def test_random_maps_depend_on_the_image_and_the_seed_alone():
    net = GapLinear().double()
    x = images(3)
    state = torch.random.get_rng_state()
    maps = RandomMap(net, net.relu).attribute(x)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert maps.shape == (3, 1, 6, 5)
    assert torch.equal(RandomMap(net, net.relu).attribute(x.flip(0)), maps.flip(0))
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(RandomMap(net, net.relu, 1).attribute(x), maps)
    assert 0 <= maps.min() <= maps.max() < 1


def test_mask_repeats_for_perturbed_images():
    net = GapLinear().double()
    control = MaskMap(net, net.relu)
    with pytest.raises(ValueError, match="masks must be set"):
        control.attribute(images(2))
    control.masks = torch.stack([torch.zeros(1, 6, 5), torch.ones(1, 6, 5)]) > 0
    maps = control.attribute(images(4))
    assert maps.flatten(1).mean(1).tolist() == [0, 0, 1, 1]


def test_channel_ablation_by_hand():
    net = GapLinear().double()
    x = images(2)
    maps = ChannelAblation(net, net.relu).attribute(x, target=torch.tensor([0, 2]))
    values = net.relu(net.conv(x)).detach()
    # With a linear head the drop of a channel is its weight times its mean.
    drops = net.fc.weight[[0, 2]] * values.mean((2, 3))
    torch.testing.assert_close(maps, (drops[..., None, None] * values).sum(1, keepdim=True))


@pytest.mark.parametrize("control", [FakeCAM, CenterGaussian, MeanActivation, RandomMap, MaskMap])
def test_controls_are_layer_attributions(control):
    assert issubclass(control, LayerAttribution)
