"""Ablated values that a model writes into a tensor without ablation."""

import warnings

import pytest
import torch
from nets import images
from torch import nn

from captum_clustered import ClusteredLayerCAM

LABELS = torch.tensor([0, 1, 1, 2])


class Skip(nn.Module):
    """Only the branch is ablated; ``join`` writes it into what the stem has computed."""

    def __init__(self, join):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.branch = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.fc, self.join = nn.Linear(4, 3), join
        self.register_buffer("kept", torch.zeros(3, 4, 6, 5))
        self.double().eval()

    def forward(self, x):
        stem = self.stem(x)
        return self.fc(self.join(self, stem, self.branch(stem), x).tanh().mean((2, 3)))


def add(net, stem, branch, x):
    stem += branch
    return stem


def with_two_names(net, stem, branch, x):
    identity = stem
    stem.add_(branch)
    return stem * identity


def into_zeros(net, stem, branch, x):
    out = torch.zeros_like(stem)
    out[:, 1:] = branch[:, 1:]
    return out + stem


def channels_last(net, stem, branch, x):
    return stem + branch.contiguous(memory_format=torch.channels_last)


def to_channels_last(net, stem, branch, x):
    return stem + branch.to(memory_format=torch.channels_last).relu()


def copied_to_channels_last(net, stem, branch, x):
    branch = branch.tanh()
    torch.relu_(branch.contiguous(memory_format=torch.channels_last))
    return stem + branch


def under_a_view(net, stem, branch, x):
    flat = stem.flatten(2)
    stem += branch
    return stem * flat.view(stem.shape)


def into_the_input(net, stem, branch, x):
    x += branch[:, :2]
    return stem * x.mean(1, keepdim=True)


def into_a_buffer(net, stem, branch, x):
    net.kept += branch
    return stem * net.kept


def right(net, x):
    """Return the drops without each cluster, by a plain hook."""

    def score(removed):
        def hook(module, args, output):
            return output * LABELS.ne(removed)[:, None, None]

        handle = net.branch.register_forward_hook(hook)
        net.kept.zero_()
        with torch.no_grad():
            found = net(x.clone())[:, 1]
        handle.remove()
        net.kept.zero_()
        return found

    return torch.stack([score(-1) - score(cluster) for cluster in range(3)], 1)


@pytest.mark.parametrize("at_once", [None, 2])
@pytest.mark.parametrize(
    ("join", "is_one_pass"),
    [
        *((join, True) for join in (add, with_two_names, into_zeros)),
        *((join, True) for join in (channels_last, to_channels_last)),
        *((join, False) for join in (under_a_view, into_the_input, into_a_buffer)),
        (copied_to_channels_last, False),
    ],
)
def test_branches_that_are_written_into_a_tensor_without_ablation(join, is_one_pass, at_once):
    net, x = Skip(join), images()
    expected = right(net, x)
    given = x.clone()
    cam = ClusteredLayerCAM(net, net.branch, clusterer=LABELS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, clusters = cam.attribute(given, 1, return_clusters=True, perturbations_per_eval=at_once)
    torch.testing.assert_close(clusters.importances, expected)
    assert (not caught) == is_one_pass
    # What others hold is a plain tensor, as one forward pass leaves it.
    with torch.no_grad():
        once = x.clone()
        net(once)
    net.kept.zero_()
    torch.testing.assert_close(given, once)
