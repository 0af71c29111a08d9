"""How layers lie in space, and what a forward pass shows of them."""

import pytest
import torch
from torch import nn

from captum_clustered._layer_shapes import kind_of
from captum_clustered.models import Model
from captum_clustered.models.tracing import trace


class TestKind:
    @pytest.mark.parametrize(
        ("shape", "expected"),
        [
            ((1, 512, 7, 7), "map"),
            ((1, 7, 7, 7), "map"),
            ((1, 3, 2, 7, 7), "map"),
            ((1, 7, 7, 768), "map, channels last"),
            ((1, 197, 768), "tokens"),
            ((1, 196, 768), "tokens"),
        ],
    )
    def test_kinds(self, shape, expected):
        assert kind_of(shape).name == expected

    @pytest.mark.parametrize(
        "shape", [(1, 1000), (1, 512, 1, 1), (1, 195, 768), (1, 1, 768), (1, 3, 2, 7, 7, 7), ()]
    )
    def test_nothing_to_look_at(self, shape):
        assert kind_of(shape) is None


class TestTrace:
    def test_shapes_of_the_last_call(self):
        relu = nn.ReLU()
        net = nn.Sequential(nn.Conv2d(1, 2, 3), relu, nn.Conv2d(2, 3, 3), relu, nn.Flatten())
        found = trace(Model("net", net), torch.zeros(2, 1, 6, 6))
        assert found.calls[relu].inputs == found.calls[relu].outputs == ((2, 3, 2, 2),)
        assert found.output.shape == (2, 12)

    def test_leaves_the_network_as_it_was(self):
        norm = nn.BatchNorm2d(1)
        net = nn.Sequential(norm, nn.Dropout().eval(), nn.Flatten())
        net.train()
        net[1].eval()
        trace(Model("net", net), torch.ones(2, 1, 2, 2))
        assert net.training
        assert norm.training
        assert not net[1].training
        assert norm.num_batches_tracked == 0
        assert not norm._forward_hooks

    def test_a_network_that_fails(self):
        with pytest.raises(ValueError, match=r"net fails on an input of shape \(1, 3\): Runtime"):
            trace(Model("net", nn.Linear(2, 2)), torch.zeros(1, 3))

    def test_no_logits(self):
        with pytest.raises(ValueError, match=r"must return the logits.* returned \(1, 3, 2\)"):
            trace(Model("net", nn.Linear(2, 2)), torch.zeros(1, 3, 2))
