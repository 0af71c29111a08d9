"""The single pass against the reference path, and when which is taken."""

import threading
import warnings

import pytest
import torch
from nets import GapLinear, MlpHead, TwoTensors, images
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation import vmap_pass


def results(cam, x, target=None, **arguments):
    attribution, clusters = cam.attribute(x, target, return_clusters=True, **arguments)
    return attribution, clusters.importances, clusters.score, clusters.baseline_score


def both_paths(monkeypatch, make_cam, x, target=None, **arguments):
    """Results of the single pass, which must not warn, and of the reference path."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        single = results(make_cam(), x, target, **arguments)

    def refuse(task):
        raise RuntimeError("switched off")

    with monkeypatch.context() as patch:
        patch.setattr("captum_clustered.clustered_layer_cam.single_pass", refuse)
        with pytest.warns(UserWarning, match="switched off"):
            reference = results(make_cam(), x, target, **arguments)
    return single, reference


class Counter:
    """Counts the rows that pass through a module."""

    def __init__(self, module):
        self.rows = 0
        self.passes = 0
        module.register_forward_hook(self.count)

    def count(self, module, args, output):
        self.rows += args[0].shape[0]
        self.passes += 1


@pytest.mark.parametrize("importance", ["ablation", "shapley"])
@pytest.mark.parametrize("at_input", [False, True])
def test_single_pass_equals_reference_path(monkeypatch, importance, at_input):
    net = MlpHead().double()
    single, reference = both_paths(
        monkeypatch,
        lambda: ClusteredLayerCAM(
            net, net.conv, clusterer=3, importance=importance, n_clusterings=2
        ),
        images(),
        [0, 1, 2],
        attribute_to_layer_input=at_input,
        layer_baselines=0.3,
    )
    torch.testing.assert_close(single, reference)


def test_single_pass_equals_reference_path_for_tuple_layers(monkeypatch):
    net, x = TwoTensors(), images(channels=6, size=(4, 4))
    single, reference = both_paths(
        monkeypatch, lambda: ClusteredLayerCAM(net, net.split, clusterer=2), x
    )
    torch.testing.assert_close(single, reference)


def test_the_trunk_runs_once():
    net = MlpHead().double()
    trunk, tail = Counter(net.trunk), Counter(net.head)
    ClusteredLayerCAM(net, net.conv, clusterer=4, n_clusterings=3).attribute(images(), 0)
    assert (trunk.passes, trunk.rows) == (1, 3)
    assert tail.passes == 1


def test_chunks_run_the_trunk_once_each():
    net = MlpHead().double()
    trunk = Counter(net.trunk)
    cam = ClusteredLayerCAM(net, net.conv, clusterer=4)
    cam.attribute(images(), 0, perturbations_per_eval=2)
    assert trunk.passes == 3  # the score and four ablations, two at a time


def test_rows_beyond_the_cap_are_split(monkeypatch):
    net, x = MlpHead().double(), images()
    # The convolution behind it mixes channels, so that all ablated maps must be made.
    cam = ClusteredLayerCAM(net, net.trunk, clusterer=3)
    expected = cam.attribute(x, 0)
    trunk = Counter(net.trunk)
    # Room for two rows of 3 x 4 x 6 x 5.
    monkeypatch.setattr(vmap_pass, "MAX_ELEMENTS", 2 * 3 * 4 * 30 + 1)
    torch.testing.assert_close(cam.attribute(x, 0), expected)
    # It shows at the convolution; then the score and 3 ablations in twos.
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


class Reused(nn.Module):
    """A ReLU that is called at three places."""

    def __init__(self):
        super().__init__()
        self.first, self.last = MlpHead().trunk[0], nn.Conv2d(4, 5, 3)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.first(x))
        return self.relu(self.relu(self.last(x)) - 0.1).flatten(2).mean(2).square()


def test_a_layer_called_several_times_is_attributed_at_its_last_call(monkeypatch):
    net, x = Reused().double(), images()
    single, reference = both_paths(
        monkeypatch, lambda: ClusteredLayerCAM(net, net.relu, clusterer=torch.arange(5)), x, 0
    )
    torch.testing.assert_close(single, reference)
    activation = (net.last(net.first(x).relu()).relu() - 0.1).relu().detach()
    # The score is the squared mean of channel 0: its drop is the score itself.
    torch.testing.assert_close(single[2], activation[:, 0].flatten(1).mean(1).square())
    torch.testing.assert_close(single[1][:, 0], single[2])
    assert (single[1][:, 1:] == 0).all()


class InPlaceSkip(nn.Module):
    """Adds in place to a tensor that does not depend on the ablation."""

    def __init__(self):
        super().__init__()
        self.conv, self.skip = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 1)

    def forward(self, x):
        out = self.conv(x)
        out += self.skip(x)
        return out.flatten(2).square().mean(2)


def test_what_vmap_cannot_do_falls_back_with_one_warning():
    net, x = InPlaceSkip().double(), images()
    cam = ClusteredLayerCAM(net, net.skip, clusterer=torch.arange(4))
    with pytest.warns(UserWarning, match="once for each ablation") as caught:
        _, clusters = cam.attribute(x, 1, return_clusters=True)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    conv, skip = net.conv(x).detach(), net.skip(x).detach()
    drop = (conv + skip)[:, 1].square().mean((1, 2)) - conv[:, 1].square().mean((1, 2))
    torch.testing.assert_close(clusters.importances[:, 1], drop)


def test_in_place_operations_around_the_layer_do_not_change_the_result(monkeypatch):
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x):
            y = x.clone()
            z = self.layer(y)
            y += 100  # the layer's own output is y
            return z.relu_().flatten(2).mean(2).square()

    net, x = InPlace(), images(channels=3)
    # In place, y is changed behind the layer: only the copy of it is ablated.
    cam = ClusteredLayerCAM(net, net.layer, clusterer=torch.arange(3))
    channels = cam.attribute(x, 0, attr_dim_summation=False)
    share = x[:, 0].abs() / x[:, 0].abs().sum((1, 2), keepdim=True)
    drop = x[:, 0].relu().mean((1, 2)).square()
    torch.testing.assert_close(channels[:, 0], share * drop[:, None, None])


def test_the_users_exception_surfaces_unchanged_and_without_a_warning():
    class Broken(GapLinear):
        def forward(self, x):
            super().forward(x)
            raise LookupError("mine")

    net = Broken().double()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LookupError, match=r"^'?mine'?$") as caught:
            ClusteredLayerCAM(net, net.conv).attribute(images(), 0)
    assert caught.value.__context__ is None
    assert not net.conv._forward_hooks


def test_running_out_of_memory_is_not_tried_again():
    net = MlpHead().double()
    trunk = Counter(net.trunk)

    def forward(x):
        net(x)
        raise torch.cuda.OutOfMemoryError("no memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        ClusteredLayerCAM(forward, net.conv).attribute(images(), 0)
    assert trunk.passes == 1


def test_another_threads_forward_pass_is_left_alone():
    net, x = MlpHead().double(), images()
    expected = net(x).detach()
    inside, go_on, seen = threading.Event(), threading.Event(), []

    def slow(rows):
        inside.set()
        assert go_on.wait(10)
        return torch.arange(len(rows)) % 2

    def plain():
        assert inside.wait(10)
        with torch.no_grad():
            seen.append(net(x))
        go_on.set()

    thread = threading.Thread(target=plain)
    thread.start()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=slow)
    cam.attribute(x, 0)
    thread.join()
    assert torch.equal(seen[0], expected)


def test_scripted_tail_without_batching_rule_falls_back(monkeypatch):
    # Data-dependent control flow cannot run under vmap.
    net = MlpHead().double()

    def forward(x):
        out = net(x)
        if out.sum() > 0:
            return out * 2
        return out + out

    cam = ClusteredLayerCAM(forward, net.conv, clusterer=3)
    with pytest.warns(UserWarning, match="vmap"):
        attribution = cam.attribute(images(), 0)
    torch.testing.assert_close(
        attribution, 2 * ClusteredLayerCAM(net, net.conv, clusterer=3).attribute(images(), 0)
    )


def test_the_reference_path_names_a_layer_that_is_not_reached(monkeypatch):
    def refuse(task):
        raise OSError("switched off")

    monkeypatch.setattr("captum_clustered.clustered_layer_cam.single_pass", refuse)
    with pytest.raises(ValueError, match="layer ReLU was not reached"):
        ClusteredLayerCAM(MlpHead().double(), nn.ReLU()).attribute(images(), 0)
