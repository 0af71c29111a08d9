import gc

import numpy as np
import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation.trunk_cache import Skip, TrunkMemory, Watch


class Net(nn.Module):
    """A trunk that can be replaced, a layer, and a tail that also sees the trunk's output."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU()
        self.last = nn.Linear(6, 4)
        self.double()

    def trunk(self, x):
        return self.conv(x)

    def forward(self, x):
        h = self.trunk(x)
        return self.tail(self.relu(h), h)

    def tail(self, y, h):
        return self.last((y.square() + h).mean((2, 3)))


def images(n=3):
    return torch.randn(n, 3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def attribute(net, chunk, forward_func=None):
    cam = ClusteredLayerCAM(forward_func or net, net.relu, clusterer=4)
    with profile(activities=[ProfilerActivity.CPU]) as record:
        maps = cam.attribute(images(), target=1, perturbations_per_eval=chunk)
    convolutions = [event for event in record.events() if event.name == "aten::conv2d"]
    return maps, len(convolutions)


@pytest.mark.parametrize(("chunk", "passes"), [(None, 1), (5, 1), (2, 3), (1, 5)])
def test_the_trunk_is_computed_once_however_many_chunks_there_are(chunk, passes):
    calls = []
    net = Net()
    net.register_forward_pre_hook(lambda *_: calls.append(1))
    maps, convolutions = attribute(net, chunk)
    assert (len(calls), convolutions) == (passes, 1)
    torch.testing.assert_close(maps, attribute(Net(), None)[0])


class Dice(Net):
    """Its trunk draws random numbers."""

    def trunk(self, x):
        return self.conv(x) + 0.1 * torch.rand(())


class Storage(Net):
    """Its trunk has a result that is more than numbers."""

    def trunk(self, x):
        h = self.conv(x)
        return h + h.untyped_storage().nbytes()


class Scribbler(Net):
    """Its tail writes into what the trunk left."""

    def tail(self, y, h):
        h.mul_(2)
        return super().tail(y, h)


@pytest.mark.parametrize("kind", [Dice, Storage, Scribbler])
def test_a_trunk_that_cannot_be_left_out_is_computed_again(kind):
    maps, convolutions = attribute(kind(), 2)
    assert convolutions == 3
    torch.testing.assert_close(maps, attribute(kind(), None)[0])


class Rows(Net):
    def trunk(self, x):
        return torch.stack([row * 2 for row in self.conv(x)])


class Choosy(Net):
    def trunk(self, x):
        h = self.conv(x)
        return h * 3 if h.sum().item() > 0 or h.shape[0] != 3 else h * 2


class Numpy(Net):
    def trunk(self, x):
        return torch.from_numpy(np.tanh(self.conv(x).numpy()))


@pytest.mark.parametrize("kind", [Rows, Choosy, Numpy])
def test_loops_choices_and_arrays_are_those_of_the_first_pass(kind):
    maps, convolutions = attribute(kind(), 2)
    assert convolutions == 1
    torch.testing.assert_close(maps, attribute(kind(), None)[0])


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_compiled_code_in_the_trunk_finds_no_wrong_numbers():
    net = Net()
    net.conv = torch.jit.script(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 6, 1)).double())
    maps, _ = attribute(net, 2)
    torch.testing.assert_close(maps, attribute(net, None)[0])


def test_a_model_that_makes_other_calls_is_run_again():
    net, turns = Net(), []

    def moody(x):
        turns.append(1)
        return net(x * 1.0 if len(turns) == 2 else x + 0.0)

    maps, convolutions = attribute(net, 2, moody)
    # The second pass breaks off in front of the convolution; one that is watched follows.
    assert convolutions == 2
    torch.testing.assert_close(maps, attribute(net, None)[0])


def test_an_error_of_the_tail_is_the_users_own():
    class Failing(Net):
        def tail(self, y, h):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        attribute(Failing(), 2)


def test_only_what_somebody_refers_to_is_kept():
    memory, net, x = TrunkMemory(), Net(), images()
    with torch.no_grad(), Watch(memory) as watch:
        h = net.conv(x).exp()
        y = h + 1
        del h
        watch.reach_layer()
        y.sqrt()
    gc.collect()
    assert memory.is_usable
    assert memory.calls[0].result().is_meta
    assert [tensor.data_ptr() for call in memory.calls for tensor in call.kept()] == [y.data_ptr()]
    with torch.no_grad(), Skip(memory) as skip:
        assert (net.conv(x).exp() + 1) is y
        skip.reach_layer()
        torch.testing.assert_close(y.sqrt(), (net.conv(x).exp() + 1).sqrt())


def test_fewer_and_other_calls_are_noticed():
    memory, x = TrunkMemory(), torch.ones(2)
    with Watch(memory) as watch:
        kept = [x + 1, x * 2]
        watch.reach_layer()
    assert len(kept) == 2
    with pytest.raises(RuntimeError, match="other calls"), Skip(memory):
        x * 2
    with Skip(memory) as skip:
        assert x + 1 is kept[0]
        with pytest.raises(RuntimeError, match="fewer calls"):
            skip.reach_layer()


def test_nothing_is_left_out_in_inference_mode():
    memory = TrunkMemory()
    with torch.inference_mode(), Watch(memory) as watch:
        kept = torch.ones(2) + 1
        watch.reach_layer()
    assert kept.sum() == 4
    assert not memory.is_usable
