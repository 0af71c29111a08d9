"""How often the model runs."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from nets import MlpHead, images
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation import memory_cap


class Counter:
    """Counts the passes through a module, and their examples."""

    def __init__(self, module):
        self.examples = 0
        self.passes = 0
        module.register_forward_hook(self.count)

    def count(self, module, args, output):
        self.examples += args[0].shape[0]
        self.passes += 1


def test_the_trunk_runs_once():
    net = MlpHead().double()
    trunk, tail = Counter(net.trunk), Counter(net.head)
    ClusteredLayerCAM(net, net.conv, clusterer=4, n_clusterings=3).attribute(images(), 0)
    assert (trunk.passes, trunk.examples) == (1, 3)
    assert tail.passes == 1


@pytest.mark.parametrize(("chunk", "passes"), [(1, 6), (2, 4), (5, 1), (9, 1)])
def test_each_chunk_runs_the_model_once(chunk, passes):
    # The convolution behind it mixes channels, so that all ablated maps must be computed.
    net, x = MlpHead().double(), images()
    cam = ClusteredLayerCAM(net, net.trunk, clusterer=4)
    expected = cam.attribute(x, 0)
    trunk = Counter(net.trunk)
    found = cam.attribute(x, 0, perturbations_per_eval=chunk)
    torch.testing.assert_close(found, expected)
    # The score and 4 ablations; if they need chunks, this shows in a pass of its own.
    assert trunk.passes == passes


@pytest.mark.parametrize("chunk", [1, 2, 9])
def test_ablated_maps_that_are_not_computed_need_no_chunks(chunk):
    net = MlpHead().double()
    trunk = Counter(net.trunk)
    # 30 positions are pooled before the linear layer mixes channels.
    cam = ClusteredLayerCAM(net, net.conv, clusterer=4)
    cam.attribute(images(), 0, perturbations_per_eval=chunk)
    assert trunk.passes == 1


def test_evaluations_beyond_the_default_bound_are_split(monkeypatch):
    net, x = MlpHead().double(), images()
    # The convolution behind it mixes channels, so that all ablated maps must be computed.
    cam = ClusteredLayerCAM(net, net.trunk, clusterer=3)
    expected = cam.attribute(x, 0)
    trunk = Counter(net.trunk)
    # Room for two layers of 3 x 4 x 6 x 5.
    monkeypatch.setattr(memory_cap, "MAX_ELEMENTS", 2 * 3 * 4 * 30 + 1)
    torch.testing.assert_close(cam.attribute(x, 0), expected)
    # One that shows this; then the score and 3 ablations, two at a time.
    assert trunk.passes == 3


def test_a_number_of_clusters_unknown_before_clustering_costs_at_most_one_more_pass():
    net, x = MlpHead(channels=30).double(), images()
    trunk = Counter(net.trunk)

    def many(rows):
        return torch.arange(30) % 25

    labels = torch.arange(30) % 25
    expected = ClusteredLayerCAM(net, net.conv, clusterer=labels).attribute(x, 0)
    assert trunk.passes == 1
    found = ClusteredLayerCAM(net, net.conv, clusterer=many).attribute(x, 0)
    assert trunk.passes == 3
    torch.testing.assert_close(found, expected)

    def few(rows):
        return torch.arange(30) % 2

    ClusteredLayerCAM(net, net.conv, clusterer=few).attribute(x, 0)
    assert trunk.passes == 4


@pytest.mark.parametrize("at_input", [False, True])
def test_each_channel_alone_costs_one_pass_if_the_layer_has_parameters(at_input):
    net, x = MlpHead(channels=30).double(), images()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=None)
    labels = ClusteredLayerCAM(net, net.conv, clusterer=torch.arange(4 if at_input else 30))
    expected = labels.attribute(x, 0, attribute_to_layer_input=at_input)
    trunk = Counter(net.trunk)
    found = cam.attribute(x, 0, attribute_to_layer_input=at_input)
    assert trunk.passes == 1
    torch.testing.assert_close(found, expected)


def test_running_out_of_memory_is_not_tried_again():
    net = MlpHead().double()
    trunk = Counter(net.trunk)

    def forward(x):
        net(x)
        raise torch.cuda.OutOfMemoryError("no memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        ClusteredLayerCAM(forward, net.conv).attribute(images(), 0)
    assert trunk.passes == 1


def test_a_layer_that_is_called_less_often_in_a_later_pass_is_noticed():
    net, x = MlpHead().double(), images()
    calls = []

    def moody(x):
        calls.append(1)
        # One pass to find out, one for the plan and the first chunk, one without the layer.
        return net(x) if len(calls) < 3 else net.head(net.pool(torch.relu(x).repeat(1, 3, 1, 1)))

    cam = ClusteredLayerCAM(moody, net.trunk, clusterer=4)
    with pytest.raises(ValueError, match="was not reached"):
        cam.attribute(x, 0, perturbations_per_eval=2)


class Convolved(TorchDispatchMode):
    """Counts the examples that convolutions compute."""

    def __init__(self):
        super().__init__()
        self.examples = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **kwargs or {})
        if func is torch.ops.aten.convolution.default:
            self.examples += output.numel() // (4 * 6 * 5)
        return output


class EarlyAndLate(nn.Module):
    """Calls one activation after the first and after the last of five convolutions."""

    def __init__(self):
        super().__init__()
        sizes = [2, 4, 4, 4, 4, 4]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        self.act, self.fc, self.middle = nn.SiLU(), nn.Linear(4, 3), 0
        self.double().eval()

    def forward(self, x):
        x = self.act(self.convs[0](x))
        for i, conv in enumerate(self.convs[1:]):
            x = conv(x)
            x = self.act(x) if i < self.middle else x.tanh()
        return self.fc(self.act(x).mean((2, 3)))


def test_a_layer_that_is_called_early_and_late_costs_no_ablated_middle():
    torch.manual_seed(0)
    net, x, labels = EarlyAndLate(), images(), torch.tensor([0, 0, 1, 1])
    cam = ClusteredLayerCAM(net, net.act, clusterer=labels)

    def explain():
        with Convolved() as found:
            _, clusters = cam.attribute(x, 0, return_clusters=True)
        return found.examples / len(x), clusters.importances

    def score(removed):
        calls = []

        def hook(module, args, output):
            calls.append(1)
            is_last = len(calls) == 2 + net.middle
            return output * (labels != removed)[:, None, None] if is_last else output

        with torch.no_grad():
            handle = net.act.register_forward_hook(hook)
            found = net(x)[:, 0]
            handle.remove()
        return found

    def right():
        return torch.stack([score(-1) - score(k) for k in range(2)], 1)

    # The first convolution, and the next one for the score, the baseline and two ablations;
    # then five to count the calls, and five.
    passes, importances = explain()
    assert passes == 1 + 4 + 5 + 5
    torch.testing.assert_close(importances, right())
    # The number of calls is known now.
    passes, importances = explain()
    assert passes == 5
    torch.testing.assert_close(importances, right())
    for net.middle in (2, 0):
        # More calls and fewer.
        _, importances = explain()
        torch.testing.assert_close(importances, right())


class Decoder(nn.Module):
    """Behind the layer, the map grows from 6 x 5 to 24 x 20, in a function and not in a module."""

    def __init__(self, channels=4, side=4):
        super().__init__()
        self.layer, self.fc = nn.Conv2d(2, channels, 1), nn.Linear(channels, 3)
        self.side = side

    def forward(self, x):
        small = self.layer(x)
        large = F.interpolate(small, scale_factor=self.side)
        # Mixes channels, so that all ablated maps are computed.
        return self.fc((large * large.sum(1, keepdim=True)).mean((2, 3)))


class Sizes(TorchDispatchMode):
    """Counts the elements of each enlarged map."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **kwargs or {})
        if func is torch.ops.aten.upsample_nearest2d.default:
            self.found.append(output.numel())
        return output


def test_what_follows_the_layer_is_bounded_too(monkeypatch):
    net, x = Decoder(channels=8).double().eval(), images()
    cam = ClusteredLayerCAM(net, net.layer, clusterer=torch.arange(8) % 7)
    expected = cam.attribute(x, 0)
    one = 3 * 8 * 24 * 20
    # For three evaluations: the layer, two enlarged maps and their sums over the channels exist
    # at once, of 8 bytes each.
    together = one // 16 + 2 * one + one // 8
    monkeypatch.setattr(memory_cap, "TAIL_BYTES", 3 * together * 8 + 8 * 1024)
    with Sizes() as sizes:
        torch.testing.assert_close(cam.attribute(x, 0), expected)
    # Eight evaluations are too many; the score shows how many are not, then seven ablations.
    assert sizes.found == [8 * one, one, 3 * one, 3 * one, one]


def test_two_evaluations_are_computed_at_once_where_even_one_is_large(monkeypatch):
    net, x = Decoder().double().eval(), images()
    cam = ClusteredLayerCAM(net, net.layer, clusterer=torch.arange(4))
    expected = cam.attribute(x, 0)
    monkeypatch.setattr(memory_cap, "TAIL_BYTES", 1)
    with Sizes() as sizes:
        torch.testing.assert_close(cam.attribute(x, 0), expected)
    one = 3 * 4 * 24 * 20
    assert sizes.found == [5 * one, one, 2 * one, 2 * one]


def test_a_tail_that_does_not_grow_is_not_divided(monkeypatch):
    net, x = Decoder(side=1).double().eval(), images()
    monkeypatch.setattr(memory_cap, "TAIL_BYTES", 1)
    cam = ClusteredLayerCAM(net, net.layer, clusterer=torch.arange(4))
    with Sizes() as sizes:
        cam.attribute(x, 0)
    assert sizes.found == [5 * 3 * 4 * 30]


def test_whoever_chooses_the_number_of_evaluations_gets_it(monkeypatch):
    net, x = Decoder().double().eval(), images()
    monkeypatch.setattr(memory_cap, "TAIL_BYTES", 1)
    cam = ClusteredLayerCAM(net, net.layer, clusterer=torch.arange(4))
    with Sizes() as sizes:
        cam.attribute(x, 0, perturbations_per_eval=5)
    assert sizes.found == [5 * 3 * 4 * 24 * 20]


class DoublesTanh(TorchDispatchMode):
    """A mode of the model."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        return 2 * found if func is torch.ops.aten.tanh.default else found


class CalledInMode(nn.Module):
    """Its layer is called inside a mode, which ends before the tanh."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.conv = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3)
        self.double().eval()

    def forward(self, x):
        with DoublesTanh():
            x = self.layer(x)
        return self.conv(x).tanh().mean((2, 3))


def test_a_mode_around_the_layer_ends_where_the_model_ends_it():
    net, x, labels = CalledInMode(), images(2, 2, (6, 6)), torch.tensor([0, 1, 1, 0])
    with torch.no_grad():
        values = net.layer(x)
        scores = [
            net.conv(values * (labels != j)[:, None, None]).tanh().mean((2, 3))[:, 1]
            for j in (-1, 0, 1)
        ]
    cam = ClusteredLayerCAM(net, net.layer, clusterer=labels)
    _, clusters = cam.attribute(x, 1, return_clusters=True)
    torch.testing.assert_close(
        clusters.importances, torch.stack([scores[0] - score for score in scores[1:]], 1)
    )
