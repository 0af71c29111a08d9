"""
Random sequences of operations behind the layer, against ablation by hand.

``make fuzz`` draws new ones for half an hour; ``make test`` always draws the same.
"""

import copy
import os
import time
import types
import warnings
from collections import defaultdict, deque

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tail_operations import ONE_PASS, OPERATIONS, OldFunction, compiled, w
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation.single_pass import lazy_convolution

# Zero: one round, always the same.
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
CHANNELS = 6
LABELS = torch.tensor([0, 1, 0, 2, 3, 1])


@pytest.fixture(autouse=True, scope="module")
def small_convolutions():
    """Let them be computed from their ablated channels, though that is no faster here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy_convolution, "MIN_MULTIPLICATIONS", 0)
        patch.setattr(lazy_convolution, "MAX_ABLATED", 1)
        yield


class Net(nn.Module):
    """A convolution, the layer, operations, and three scores."""

    def __init__(self, operations, layer):
        super().__init__()
        self.conv, self.layer = nn.Conv2d(2, CHANNELS, 3, padding=1), layer
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.transformer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.gru, self.lstm = nn.GRU(4, 3, batch_first=True), nn.LSTM(4, 3, batch_first=True)
        self.operations = operations
        self.register_buffer("buffer", torch.ones(3))
        self.previous, self.count, self.history = torch.zeros(()), 0, []
        self.queue, self.by_name = deque([torch.ones(())], maxlen=2), {}
        self.nested, self.by_default = {"lists": [[]]}, defaultdict(list)
        self.space = types.SimpleNamespace(mean=torch.zeros(()))
        self.kept = [None]
        self.double().eval()
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(w(*parameter.shape))

    def keep(self, t):
        self.kept[0] = t

    def function(self, t):
        return OldFunction.apply(t)

    def forward(self, x):
        t = self.layer(self.conv(x))
        self.keep(t)
        for operation in self.operations:
            t = small_map(compiled(operation)(t, self, self.kept[0]))
        self.kept[0] = None
        features = t.flatten(1)
        return torch.tanh(features @ w(features.shape[1], 3) / features.shape[1])


def small_map(t):
    """A tensor of four dimensions that does not grow without end."""
    if t.dim() == 1:
        t = t[:, None]
    while t.dim() < 4:
        t = t[..., None]
    return t.flatten(3)[:, :8, :5, :5]


def seed():
    """Seed as torch.manual_seed does, which takes longer: it keeps a traceback for each device."""
    torch.default_generator.manual_seed(0)


def drops_by_hand(net, x, at_input):
    """One plain forward pass of a fresh copy for each cluster; also the input afterwards."""
    # No operation writes into these.
    shared = net.conv, net.attention, net.norm, net.transformer, net.gru, net.lstm

    def scores(cluster):
        fresh, image = copy.deepcopy(net, {id(part): part for part in shared}), x.clone()

        def ablated(t):
            t = t.clone()
            t[:, cluster == LABELS] = 0
            return t

        if at_input:
            fresh.layer.register_forward_pre_hook(lambda module, args: (ablated(args[0]),))
        else:
            fresh.layer.register_forward_hook(lambda module, args, output: ablated(output))
        seed()
        with torch.no_grad():
            return fresh(image)[:, 1], image

    plain, image = scores(-1)
    return torch.stack([plain - scores(j)[0] for j in range(4)], 1), plain, image


def check(operations, layer, at_input, chunk):
    """Compare a network with ablation by hand; return whether one pass was enough."""
    net = Net(operations, layer)
    x = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    expected, score, image = drops_by_hand(net, x, at_input)
    before = {name: value for name, value in vars(net).items() if name != "_modules"}
    state = copy.deepcopy(before)
    cam = ClusteredLayerCAM(net, net.layer, clusterer=LABELS)
    seed()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, clusters = cam.attribute(
            x,
            1,
            attribute_to_layer_input=at_input,
            perturbations_per_eval=chunk,
            return_clusters=True,
        )
    torch.testing.assert_close(clusters.score, score, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(clusters.importances, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(x, image, rtol=0, atol=0)
    after = {name: value for name, value in vars(net).items() if name != "_modules"}
    assert after.keys() == before.keys()
    assert str(after) == str(state)
    return not any("once for each ablation" in str(w.message) for w in caught)


def is_tame(operations, layer):
    """Whether the plain network runs and gives usual numbers."""
    net = Net(operations, layer)
    x = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    try:
        # What torch warns about, such as writing into an expanded tensor, is no usual network.
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("error")
            return bool(net(x).isfinite().all())
    except (RuntimeError, IndexError, ValueError, UserWarning):
        return False


def test_there_are_enough_operations():
    assert len(set(OPERATIONS)) == len(OPERATIONS) >= 120


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_alone(operation):
    assert is_tame([operation], nn.Identity())
    one_pass = check([operation], nn.Identity(), at_input=False, chunk=None)
    assert one_pass or operation not in ONE_PASS


LAYERS = st.sampled_from([nn.Identity, nn.ReLU, nn.Softplus, lambda: nn.ReLU(inplace=True)])


@settings(max_examples=500, derandomize=not SECONDS, deadline=None, database=None)
@given(
    operations=st.lists(st.sampled_from(OPERATIONS), min_size=2, max_size=7),
    layer=LAYERS,
    at_input=st.booleans(),
    chunk=st.sampled_from([None, 1, 3]),
)
def sequences(operations, layer, at_input, chunk):
    assume(is_tame(operations, layer()))
    check(operations, layer(), at_input, chunk)


def test_sequences_of_operations():
    end = time.monotonic() + SECONDS
    sequences()
    while time.monotonic() < end:
        sequences()
