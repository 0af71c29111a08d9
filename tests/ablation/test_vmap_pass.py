"""How often the model runs."""

import pytest
import torch
from nets import MlpHead, images

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
