"""A function that calls a method of the model, which is never called itself."""

import functools
import warnings

import pytest
import torch
from nets import images
from torch import nn

from captum_clustered import ClusteredLayerCAM


class Encoder(nn.Module):
    """Keeps its features; ``encode`` is not a call of the module."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.kept = nn.Conv2d(2, 6, 3), nn.Linear(6, 3), torch.zeros(1)
        self.mode = "plain"

    def encode(self, x):
        self.kept = self.conv(x).mean((2, 3))
        return self.fc(self.kept)


NET = Encoder()


class Pipeline:
    def __init__(self, net):
        self.parts = {"net": [net]}

    def __call__(self, x):
        return self.parts["net"][0].encode(x)

    def scores(self, x):
        return self(x)


def by_argument(x, net):
    return net.encode(x)


def of_global(x):
    return (lambda: NET.encode(x))()


def closure(net):
    def inner(x):
        return net.encode(x)

    return lambda x: inner(x)


FUNCTIONS = {
    "closure": closure(NET),
    "global": of_global,
    "object": Pipeline(NET),
    "method of an object": Pipeline(NET).scores,
    "partial": functools.partial(by_argument, net=NET),
    "default": lambda x, net=NET: net.encode(x),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_of_the_pass_is_left(function):
    function, before, x = FUNCTIONS[function], NET.kept, images(dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ClusteredLayerCAM(function, NET.conv, clusterer=2).attribute(x, 0)
    assert NET.kept is before


def test_training_mode_is_seen():
    net = Encoder()
    net.fc = nn.Sequential(net.fc, nn.Dropout())
    net.train()
    with pytest.warns(UserWarning, match=r"training mode \(Dropout\)"):
        ClusteredLayerCAM(lambda x: net.encode(x), net.conv, clusterer=2).attribute(
            images(dtype=torch.float32), 0
        )
