"""Models whose result depends on which tensors share memory, or on strides."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from nets import images
from torch import nn
from torch.overrides import BaseTorchFunctionMode

from captum_clustered import ClusteredLayerCAM

# So many that torch computes convolutions of this size with channels last.
C, SIDE = 64, 20
LABELS = torch.arange(C) % 12


class Net(nn.Module):
    """What follows the layer: ``prepare``, a convolution, its batch normalization, ``use``."""

    def __init__(self, prepare, use):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.conv = nn.Conv2d(2, C, 3, padding=1), nn.Conv2d(C, C, 3, padding=1)
        self.norm, self.prepare, self.use = nn.BatchNorm2d(C), prepare, use
        self.eval()

    def forward(self, x):
        x = self.prepare(self.layer(x))
        return self.use(self.norm(self.conv(x))).tanh().flatten(2).mean(2)


def flattened(x):
    x.flatten(1)[:, 3:900] = 1
    return x


def raveled(x):
    torch.relu_(x.reshape(-1))
    return x


def contiguous(x):
    x.contiguous().mul_(torch.arange(SIDE))
    return x


def written_behind_its_view(x):
    flat = x.flatten(2)
    nn.functional.relu(x, inplace=True)
    return flat


def of_strides(x):
    return x.as_strided((len(x), C, SIDE, 2), (C * SIDE**2, SIDE**2, SIDE, 1))


def of_its_own_strides(x):
    return x * x.stride()[1]


def dropped_out(x):
    # The columns of an inverse are contiguous, and the same numbers fall on other values.
    return F.dropout(torch.linalg.inv(torch.eye(SIDE) + 0.01 * x), 0.5, True)


def noisy(x):
    return x + torch.rand_like(x)


def drawn_into(x):
    return x + torch.linalg.inv(torch.eye(SIDE) + 0.01 * x).normal_()


USES = (
    flattened,
    raveled,
    contiguous,
    written_behind_its_view,
    of_strides,
    of_its_own_strides,
    dropped_out,
    noisy,
    drawn_into,
)
# With the first, the convolution is computed from the ablated channels.
PREPARE = {"convolution of ablated": lambda x: x, "any convolution": lambda x: x.cumsum(1).tanh()}


def importances(net, x):
    cam = ClusteredLayerCAM(net, net.layer, clusterer=LABELS)
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = cam.attribute(x, 1, return_clusters=True)[1].importances
    return found, not caught


def by_hand(net, x):
    def score(cluster):
        def ablate(module, args, output):
            return output * (cluster != LABELS)[:, None, None]

        handle = net.layer.register_forward_hook(ablate)
        torch.manual_seed(0)
        with torch.no_grad():
            found = net(x)[:, 1]
        handle.remove()
        return found

    return torch.stack([score(-1) - score(j) for j in range(12)], 1)


@pytest.mark.parametrize("prepare", PREPARE.values(), ids=PREPARE)
@pytest.mark.parametrize("use", USES)
def test_what_depends_on_the_layout_is_as_in_plain_passes(use, prepare):
    net, x = Net(prepare, use), images(2, 2, (SIDE, SIDE), dtype=torch.float32)
    found, _ = importances(net, x)
    torch.testing.assert_close(found, by_hand(net, x), rtol=1e-3, atol=1e-5)


class InMode(Net):
    """The layer is called in a mode of the model's own."""

    def forward(self, x):
        with BaseTorchFunctionMode():
            x = self.layer(x)
        return self.use(self.norm(self.conv(x))).tanh().flatten(2).mean(2)


@pytest.mark.parametrize("use", USES)
def test_it_is_watched_in_models_with_modes_of_their_own(use):
    net, x = InMode(None, use), images(2, 2, (SIDE, SIDE), dtype=torch.float32)
    found, _ = importances(net, x)
    torch.testing.assert_close(found, by_hand(net, x), rtol=1e-3, atol=1e-5)


def new_tensor(x):
    x = x.flatten(2).contiguous() + 1
    return x.relu_()


def reshaped_and_not_written(x):
    return x.relu_().reshape(len(x), -1).unflatten(1, (C, -1))


@pytest.mark.parametrize("prepare", PREPARE.values(), ids=PREPARE)
@pytest.mark.parametrize("use", [new_tensor, reshaped_and_not_written])
def test_copies_that_are_only_read_need_one_pass(use, prepare):
    net, x = Net(prepare, use), images(2, 2, (SIDE, SIDE), dtype=torch.float32)
    found, is_one_pass = importances(net, x)
    assert is_one_pass
    torch.testing.assert_close(found, by_hand(net, x), rtol=1e-3, atol=1e-5)
