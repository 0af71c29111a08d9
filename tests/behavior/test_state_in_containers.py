"""A network that keeps features of the last frames in any container."""

import collections
import queue
import types
import warnings

import pytest
import torch
from nets import images
from torch import nn

from captum_clustered import ClusteredLayerCAM


class Clip(nn.Module):
    """Averages the features of the last four frames, and calls its layer once or twice."""

    def __init__(self, kept, past, twice):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv, self.act, self.fc = nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Linear(6, 3)
        self.kept, self.past, self.twice = kept, past, twice
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / 3
        self.double().eval()

    def forward(self, x):
        past = self.past(self.kept)
        maps = self.act(self.conv(x))
        past.append((self.act(maps) if self.twice else maps).mean((2, 3)))
        return self.fc(torch.stack(list(past)[-4:]).mean(0))


KINDS = {
    "list": (list, lambda kept: kept),
    "deque": (lambda: collections.deque(maxlen=4), lambda kept: kept),
    "dictionary of lists": (lambda: {"f": []}, lambda kept: kept["f"]),
    "defaultdict": (lambda: collections.defaultdict(list), lambda kept: kept["f"]),
    "namespace": (lambda: types.SimpleNamespace(f=[]), lambda kept: kept.f),
    "nested": (lambda: [({"f": collections.deque()},)], lambda kept: kept[0][0]["f"]),
}


@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: lambda x: net(x)])
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_as_before_and_do_not_count_twice(kind, twice, wrap):
    make, past = KINDS[kind]
    net = Clip(make(), past, twice)
    with torch.no_grad():
        for seed in range(3):
            net(images(seed=seed))
        before = list(past(net.kept))
        x = images(seed=3)
        cam = ClusteredLayerCAM(wrap(net), net.act, clusterer=3)
        _, clusters = cam.attribute(x, 1, return_clusters=True)
        after = list(past(net.kept))
        assert all(a is b for a, b in zip(after, before, strict=True))
        torch.testing.assert_close(clusters.score, net(x)[:, 1])


class Counting(nn.Module):
    """Appends its features to a queue that cannot be read without being changed."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.kept = nn.Conv2d(2, 6, 3), nn.Linear(6, 3), queue.SimpleQueue()

    def forward(self, x):
        features = self.conv(x).mean((2, 3))
        self.kept.put(features)
        return self.fc(features)


@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: lambda x: net(x)])
def test_what_cannot_be_restored_takes_the_loop_and_says_so(wrap):
    net, x = Counting().double().eval(), images()
    cam = ClusteredLayerCAM(wrap(net), net.conv, clusterer=3)
    with pytest.warns(UserWarning, match="once for each ablation.*SimpleQueue"):
        _, clusters = cam.attribute(x, 1, return_clusters=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(clusters.score, net(x)[:, 1].detach())
    # No tensor of vmap is left.
    while not net.kept.empty():
        assert net.kept.get().sum().isfinite()
