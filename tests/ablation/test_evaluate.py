"""The vmapped pass against the loop, and which of them runs."""

import threading
import warnings

import pytest
import torch
from nets import GapLinear, MlpHead, TwoTensors, images
from torch import nn

from captum_clustered import ClusteredLayerCAM


def results(cam, x, target=None, **arguments):
    attribution, clusters = cam.attribute(x, target, return_clusters=True, **arguments)
    return attribution, clusters.importances, clusters.score, clusters.baseline_score


def both_paths(monkeypatch, make_cam, x, target=None, **arguments):
    """Results of the vmapped pass, which must not warn, and of the loop."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        single = results(make_cam(), x, target, **arguments)

    def refuse(request):
        raise RuntimeError("switched off")

    with monkeypatch.context() as patch:
        patch.setattr("captum_clustered._ablation.evaluate.vmap_pass", refuse)
        with pytest.warns(UserWarning, match="switched off"):
            reference = results(make_cam(), x, target, **arguments)
    return single, reference


@pytest.mark.parametrize("importance", ["ablation", "shapley"])
@pytest.mark.parametrize("at_input", [False, True])
def test_vmap_pass_equals_loop(monkeypatch, importance, at_input):
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


def test_vmap_pass_equals_loop_for_tuple_layers(monkeypatch):
    net, x = TwoTensors(), images(channels=6, size=(4, 4))
    single, reference = both_paths(
        monkeypatch, lambda: ClusteredLayerCAM(net, net.split, clusterer=2), x
    )
    torch.testing.assert_close(single, reference)


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
    """Adds in place to a tensor without ablation, whose memory another one shares."""

    def __init__(self):
        super().__init__()
        self.conv, self.skip = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 1)

    def forward(self, x):
        out = self.conv(x)
        flat = out.flatten(2)
        out += self.skip(x)
        return flat.square().mean(2)


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


def test_in_place_operations_around_the_layer_do_not_change_the_result():
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
    cam = ClusteredLayerCAM(net, net.layer, clusterer=torch.arange(3), scaling="density")
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


def test_control_flow_that_depends_on_values_falls_back():
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
