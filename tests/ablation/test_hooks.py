import copy
import threading
from collections import namedtuple

import pytest
import torch
from torch import nn

from captum_clustered._ablation.hooks import edit_layer, record_layer

Pair = namedtuple("Pair", ["values", "index"])


class Returns(nn.Module):
    """A layer whose output is made from its input by a function."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, *args, **kwargs):
        return self.make(*args, **kwargs)


def double(tensors):
    return tuple(2 * tensor for tensor in tensors)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: (x, x + 1),
        lambda x: [x, None],
        lambda x: Pair(x, torch.tensor([3])),
        lambda x: {"out": x, "aux": [x - 1, "text"]},
    ],
)
def test_float_tensors_of_any_output_are_edited_and_the_rest_passes_through(make):
    layer, x = Returns(make), torch.rand(2, 3)
    plain = layer(x)
    with edit_layer(layer, False, double):
        edited = layer(x)
    assert type(edited) is type(plain)
    flat, before = torch.utils._pytree.tree_leaves(edited), torch.utils._pytree.tree_leaves(plain)
    for new, old in zip(flat, before, strict=True):
        if isinstance(old, torch.Tensor):
            assert torch.equal(new, 2 * old if old.is_floating_point() else old)
        else:
            assert new == old


def test_inputs_positional_or_by_keyword():
    layer = Returns(lambda *args, **kwargs: (args, kwargs))
    x = torch.rand(2)
    with edit_layer(layer, True, double):
        args, kwargs = layer(x, x + 1, flag=x)
        assert torch.equal(args[1], 2 * (x + 1))
        assert torch.equal(kwargs["flag"], x)  # positional tensors are the layer's input
        args, kwargs = layer(None, y=x)
        assert args == (None,)
        assert torch.equal(kwargs["y"], 2 * x)


@pytest.mark.parametrize("at_input", [False, True])
def test_none_leaves_the_layer_alone_and_the_hook_is_removed(at_input):
    layer, x, seen = nn.Identity(), torch.rand(2), []
    with edit_layer(layer, at_input, seen.append):
        assert layer(x) is x
    assert torch.equal(seen[0][0], x)
    layer(x)
    assert len(seen) == 1

    def interrupt(tensors):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), edit_layer(layer, at_input, interrupt):
        layer(x)
    assert layer(x) is x


@pytest.mark.parametrize("at_input", [False, True])
def test_other_threads_are_not_served_but_their_replicas_are(at_input):
    layer, x = nn.Identity(), torch.ones(1)
    results = {}

    def run(name, module):
        results[name] = module(x)

    with edit_layer(layer, at_input, double):
        # What DataParallel runs: a shallow copy of the module, in another thread.
        replica = layer._replicate_for_data_parallel()
        # What another thread that copies the model gets, with its hooks.
        copied = copy.deepcopy(layer)
        for name, module in (("same", layer), ("replica", replica), ("copy", copied)):
            thread = threading.Thread(target=run, args=(name, module))
            thread.start()
            thread.join()
    assert results["same"].item() == results["copy"].item() == 1
    assert results["replica"].item() == 2


def test_what_a_layer_held_at_its_last_call_is_recorded_as_a_copy():
    layer, x = nn.Identity(), torch.ones(2, 3)
    with record_layer(layer, False) as seen:
        layer(x - 5)
        layer(x).mul_(7)
    (device,) = seen.tensors
    assert seen.calls == {device: 2}
    (tensor,) = seen.gathered()
    assert torch.equal(tensor, torch.ones(2, 3))
    layer(x)
    assert seen.calls == {device: 2}


def test_nothing_is_recorded_of_a_layer_that_is_not_called():
    with record_layer(nn.Identity(), True) as seen:
        nn.Identity()(torch.ones(1))
    assert not seen.tensors


def test_a_layer_without_tensors_is_recorded():
    layer = Returns(lambda x: "text")
    with record_layer(layer, False) as seen:
        layer(torch.ones(1))
    assert seen.gathered() == ()
