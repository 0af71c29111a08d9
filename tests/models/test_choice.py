"""A layer that is chosen and checked."""

import pytest
import small_factories
import torch
from torch import nn

from captum_clustered.models import Model
from captum_clustered.models.choice import check_class, choose_layer

INPUTS = torch.zeros(1, 3, 32, 32)


def choose(factory, *arguments, **options):
    return choose_layer(getattr(small_factories, factory)().eval(), INPUTS, *arguments, **options)


def test_a_layer_and_its_input():
    output = choose("net", "1")
    assert output.shape == (1, 12, 8, 8)
    assert (output.channel_dim, output.n_classes, output.has_channels_first) == (1, 3, True)
    pooled = choose("net", "2", at_input=True)
    assert pooled.shape == (1, 12, 8, 8)


@pytest.mark.parametrize(
    ("factory", "channel_dim"), [("tokens", -1), ("channels_last", -1), ("cube", 1)]
)
def test_the_dimension_that_the_shape_suggests(factory, channel_dim):
    assert choose(factory, "block").channel_dim == channel_dim


@pytest.mark.parametrize("channel_dim", [1, 3, -1])
def test_a_cube_is_taken_as_given(channel_dim):
    assert choose("cube", "block", channel_dim=channel_dim).channel_dim == channel_dim


def test_channels_before_tokens_are_possible_and_noted():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Identity()

        def forward(self, x):
            return self.last(x.reshape(1, 16, -1)[..., :16]).mean(2)

    found = choose_layer(Net(), INPUTS, "last", channel_dim=1)
    assert "dimension 1 is taken for the channels; if these are tokens, use" in found.notes[0]
    assert choose_layer(Net(), INPUTS, "last").notes == ()


@pytest.mark.parametrize(
    ("factory", "layer", "options", "message"),
    [
        ("net", "4", {}, r"shape \(1, 3\), which is not a spatial map\. `captum-clustered layers"),
        ("net", "2", {}, "its input is one: use layer_input"),
        ("pairs", "pair", {}, "The output of layer 'pair' is 2 tensors"),
        ("pairs", "unused", {}, "Layer 'unused' is not used when Pairs runs"),
        ("net", "1", {"channel_dim": 4}, "channel_dim=4 is no dimension of channels"),
        ("net", "1", {"channel_dim": -1}, "looks like map: use channel_dim=1"),
        ("tokens", "block", {"channel_dim": 1}, "looks like tokens: use channel_dim=-1"),
        ("net", "", {"at_input": True}, "layer_input needs the name of a layer"),
    ],
)
def test_mistakes(factory, layer, options, message):
    with pytest.raises(ValueError, match=message):
        choose(factory, layer, **options)


def test_classes():
    model = Model("net", nn.Identity())
    check_class(model, 3, 2)
    for target in (3, -1):
        with pytest.raises(ValueError, match=f"target={target} is out of range: net has 3 classes"):
            check_class(model, 3, target)
