import functools

import pytest
import torch
from nets import MlpHead, images
from torch import nn

from captum_clustered._ablation.model_state.model import (
    ModelState,
    device_of,
    layer_name,
    model_behind,
    model_or_layer,
)
from captum_clustered.scores import model_of, probability


def test_the_model_behind_a_function():
    net = MlpHead()
    for function in (net, probability(net), net.forward, functools.partial(net, flag=1)):
        assert model_behind(function) is net
        assert model_or_layer(function, net.conv) is net
    assert model_behind(probability(functools.partial(net.forward))) is net
    hidden = lambda x: net(x)  # noqa: E731
    assert model_behind(hidden) is None
    assert model_or_layer(hidden, net.conv) is net.conv


def test_a_function_that_may_do_something_else_is_no_model():
    net = MlpHead()
    assert model_of(probability(net)) is net
    assert model_of(net.forward) is None


def test_a_model_without_a_truth_value():
    class Untrue(nn.Linear):
        def __bool__(self):
            raise RuntimeError("neither true nor false")

    net = Untrue(1, 1)
    assert model_or_layer(net, nn.ReLU()) is net


def test_the_device_is_that_of_the_first_parameter_or_buffer():
    assert device_of(nn.ReLU()) is None
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")
    assert device_of(nn.BatchNorm1d(1, affine=False)) == torch.device("cpu")


def test_layer_names_for_messages():
    net = MlpHead()
    assert layer_name(net, net.head[1]) == "'head.1' (Linear)"
    assert layer_name(probability(net), net.conv) == "'conv' (Conv2d)"
    assert layer_name(lambda x: net(x), net.conv) == "Conv2d"
    assert layer_name(net, nn.ReLU()) == "ReLU"


class Counting(nn.Module):
    """Changes an attribute, a list and a buffer in each pass."""

    def __init__(self):
        super().__init__()
        self.passes, self.history = 0, []
        self.register_buffer("total", torch.zeros(1))

    def forward(self, x):
        self.passes += 1
        self.history.append(self.passes)
        self.total = self.total + 1
        self.noise = torch.rand(1)
        return x


@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: lambda x: net(x)])
def test_a_pass_leaves_no_trace(wrap):
    net = Counting()
    state = ModelState(wrap(net), nn.ReLU(), (torch.ones(1),))
    for _ in range(2):
        with state.restored():
            wrap(net)(torch.ones(1))
            assert (net.passes, net.history, net.total.item()) == (1, [1], 1)
        assert (net.passes, net.history, net.total.item()) == (0, [], 0)
        assert not hasattr(net, "noise")


def test_only_modules_that_ran_in_training_mode_are_warned_about(recwarn):
    net = nn.Sequential(nn.Dropout(), nn.Identity()).train()
    state = ModelState(lambda x: net[1](x), net[1], ())
    with state.restored():
        net[1](images())
    state.warn_if_training(stacklevel=1)
    assert not recwarn
    with state.restored():
        net(images())
    with pytest.warns(UserWarning, match=r"training mode \(Dropout\)"):
        state.warn_if_training(stacklevel=1)
