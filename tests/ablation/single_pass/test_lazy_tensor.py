"""Ablated tensors that wait: equal to those that do not, for each function that is known."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from nets import GapLinear, MlpHead, images
from torch import Tensor, nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation import memory_cap
from captum_clustered._ablation.coalitions import LeaveOneOut
from captum_clustered._ablation.evaluations import ChannelAblation, Evaluations
from captum_clustered._ablation.memory_cap import SizeLimit
from captum_clustered._ablation.single_pass.lazy_base import (
    METADATA,
    CannotBeLazyError,
    materialize,
)
from captum_clustered._ablation.single_pass.lazy_tensor import LazyAblatedTensor, lazy_ablated

N, C = 2, 3
NORM = (torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, 2.0, 3.0]))
# Arguments for each function that has a rule, and the number of spatial dimensions.
ARGUMENTS = {
    Tensor.size: (2, (), {}),
    Tensor.dim: (2, (), {}),
    Tensor.numel: (2, (), {}),
    Tensor.__len__: (2, (), {}),
    Tensor.is_floating_point: (2, (), {}),
    torch.is_floating_point: (2, (), {}),
    F.relu: (2, (), {}),
    torch.relu: (2, (), {}),
    Tensor.relu: (2, (), {}),
    F.hardtanh: (2, (-0.5, 0.5), {}),
    F.relu6: (2, (), {}),
    F.silu: (2, (), {}),
    F.hardswish: (2, (), {}),
    F.gelu: (2, (), {"approximate": "tanh"}),
    F.batch_norm: (2, NORM, {"training": False}),
    F.dropout: (2, (), {"p": 0.3, "training": False}),
    torch.conv2d: (2, (images(C, 1, (3, 2), seed=3),), {"groups": C, "padding": 1}),
    torch.add: (2, (images(N, C, (4, 5), seed=4),), {}),
    Tensor.add: (2, (images(N, C, (4, 5), seed=4),), {}),
    Tensor.add_: (2, (images(N, C, (4, 5), seed=4),), {}),
    Tensor.mean: (2, ([2, -1],), {}),
    torch.mean: (2, (), {"dim": 3, "keepdim": True}),
    Tensor.flatten: (2, (1,), {}),
    torch.flatten: (2, (1,), {}),
    Tensor.reshape: (2, (N, -1), {}),
    torch.reshape: (2, ((N, -1),), {}),
    Tensor.view: (2, (-1, C, 20), {}),
    F.adaptive_avg_pool1d: (1, (2,), {}),
    F.adaptive_max_pool1d: (1, (2,), {}),
    F.avg_pool1d: (1, (2,), {}),
    F.max_pool1d: (1, (2,), {}),
    F.adaptive_avg_pool2d: (2, (1,), {}),
    F.adaptive_max_pool2d: (2, (2,), {}),
    F.avg_pool2d: (2, (2,), {}),
    F.max_pool2d: (2, (2,), {}),
    F.adaptive_avg_pool3d: (3, (2,), {}),
    F.adaptive_max_pool3d: (3, (2,), {}),
    F.avg_pool3d: (3, (2,), {}),
    F.max_pool3d: (3, (2,), {}),
}


def parts(n_spatial=2):
    value = images(N, C, (4, 5, 4)[:n_spatial])
    # One of each kind that layer_baselines takes: here a value for each channel.
    baseline = torch.tensor([0.7, -0.4, 0.2], dtype=value.dtype).view(1, C, *[1] * n_spatial)
    mask = torch.tensor([[True, False, True], [False, True, False]])
    return value, baseline, mask.view(N, C, *[1] * n_spatial)


def without_cluster_one():
    """The ablation of that mask: evaluation 2 leaves out cluster 1."""
    labels = torch.tensor([[[0, 1, 0], [1, 0, 1]]])
    evaluations = Evaluations(labels, [LeaveOneOut(2)], False, start=0, stop=3)
    return ChannelAblation(evaluations, torch.tensor([2]))


def waits(value, baseline, max_elements=10**6):
    return lazy_ablated(value, baseline, without_cluster_one(), SizeLimit(max_elements))


def pair(n_spatial=2):
    """A tensor that waits, and what it stands for."""
    value, baseline, mask = parts(n_spatial)
    return waits(value, baseline), torch.where(mask, value, baseline)


def double(arguments):
    return [a.double() if isinstance(a, Tensor) else a for a in arguments]


def test_each_rule_is_tested():
    assert set(ARGUMENTS) | {F.linear} == {*METADATA, *LazyAblatedTensor.rules}


@pytest.mark.parametrize("function", ARGUMENTS, ids=lambda f: f.__qualname__)
def test_a_rule_gives_what_the_function_gives_and_still_waits(function):
    n_spatial, arguments, options = ARGUMENTS[function]
    waiting, expected = (function(t, *double(arguments), **options) for t in pair(n_spatial))
    if isinstance(expected, Tensor):
        assert isinstance(waiting, LazyAblatedTensor)
        assert waiting.shape == expected.shape
        waiting = materialize(waiting)
    torch.testing.assert_close(waiting, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.flatten(1) @ torch.ones(60, 2, dtype=x.dtype),
        lambda x: x + 1,
        lambda x: torch.cat([torch.zeros_like(x), x], 1),
        lambda x: x.mean(1),
        lambda x: x.mean(),
        lambda x: x.mean(dim=[]),
        lambda x: F.adaptive_max_pool2d(x, 2, return_indices=True)[1],
        # Positions of a channel that differ in what is kept.
        lambda x: F.adaptive_avg_pool1d(x.reshape(N, 2, 30), 1),
        # Channels that would be taken for rows of an image.
        lambda x: F.adaptive_avg_pool2d(x.flatten(2), 1),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: x.view(torch.int64),
        lambda x: x[:, 1],
        lambda x: x + torch.ones(N, 1, 4, 5),
        lambda x: x.add(torch.ones_like(x), alpha=2),
        lambda x: x + x,
        lambda x: x + x.detach(),
        lambda x: F.conv2d(x, torch.ones(2 * C, 1, 1, 1).double(), groups=C),
        lambda x: F.conv2d(x, torch.ones(2, C, 3, 3).double(), padding="same"),
        lambda x: F.conv2d(x.flatten(2)[:, None], torch.ones(1, 1, 1, 1).double()),
    ],
)
def test_all_other_functions_get_the_tensor_itself(function):
    waiting, expected = (function(tensor) for tensor in pair())
    torch.testing.assert_close(materialize(waiting), expected, rtol=0, atol=0)


def test_rules_follow_on_each_other():
    waiting, expected = (F.adaptive_avg_pool1d(t.flatten(2).relu(), 1).flatten(1) for t in pair())
    assert isinstance(waiting, LazyAblatedTensor)
    torch.testing.assert_close(materialize(waiting), expected, rtol=0, atol=0)


def test_it_waits_as_the_second_term_of_a_sum():
    term = images(N, C, (4, 5), seed=4)
    waiting, expected = (term + tensor for tensor in pair())
    assert isinstance(waiting, LazyAblatedTensor)
    assert torch.equal(materialize(waiting), expected)


def test_a_sum_in_place_changes_the_tensor_and_not_the_layer():
    value, baseline, mask = parts()
    before = value.clone()
    waiting = waits(value, baseline)
    waiting += torch.ones_like(value)
    assert isinstance(waiting, LazyAblatedTensor)
    assert torch.equal(materialize(waiting), torch.where(mask, before, baseline) + 1)
    assert torch.equal(value, before)


def test_a_convolution_of_pooled_channels_is_a_linear_layer():
    weight, bias = images(5, C, (1, 1), seed=3), images(1, 5, (), 4)[0]
    waiting, expected = (
        F.conv2d(F.adaptive_avg_pool2d(t, 1), weight, bias, stride=2) for t in pair()
    )
    torch.testing.assert_close(waiting, expected)


def test_dropout_in_training_mode_is_no_rule():
    torch.manual_seed(0)
    expected = F.dropout(pair()[1])
    torch.manual_seed(0)
    found = F.dropout(pair()[0])
    torch.testing.assert_close(found, expected)
    assert not isinstance(found, LazyAblatedTensor)


def test_it_looks_like_the_tensor():
    waiting, expected = pair()
    for name in ("shape", "dtype", "device", "ndim", "layout", "is_meta", "requires_grad"):
        assert getattr(waiting, name) == getattr(expected, name), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_it_is_of_the_old_types_of_its_dtype(dtype):
    value, baseline, _ = parts()
    waiting = waits(value.to(dtype), baseline.to(dtype))
    for old in (torch.HalfTensor, torch.FloatTensor, torch.DoubleTensor, torch.IntTensor):
        assert isinstance(waiting, old) == isinstance(value.to(dtype), old)


def test_code_that_bypasses_torchs_functions_gets_no_values():
    waiting, _ = pair()
    with torch._C.DisableTorchFunctionSubclass(), pytest.raises(CannotBeLazyError, match="relu"):
        torch.relu(waiting)


def test_an_activation_in_place_changes_it_and_not_the_layer():
    value, baseline, mask = parts()
    before = value.clone()
    waiting = waits(value, baseline)
    assert F.relu(waiting, inplace=True) is waiting
    torch.testing.assert_close(materialize(waiting), torch.where(mask, before, baseline).relu())
    torch.testing.assert_close(value, before)


@pytest.mark.parametrize(
    "in_place",
    [
        torch.relu_,
        Tensor.relu_,
        lambda a: F.relu(a, inplace=True),
        lambda a: F.leaky_relu(a, inplace=True),
        lambda a: a.mul_(2),
        Tensor.contiguous,
    ],
)
def test_what_returns_its_argument_does_so(in_place):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x):
            x = self.layer(x)
            assert in_place(x) is x
            return x.mean((2, 3)) ** 2

    net, x = Net(), images()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cam = ClusteredLayerCAM(net, net.layer, clusterer=torch.tensor([0, 1]))
        _, clusters = cam.attribute(x.clone(), 0, return_clusters=True)
    right = in_place(x.clone()).mean((2, 3))[:, 0] ** 2
    torch.testing.assert_close(clusters.score, right)
    torch.testing.assert_close(clusters.importances, torch.stack([right, 0 * right], 1))


def test_what_is_written_once_computed_stays():
    waiting, expected = pair()
    waiting += 1
    waiting[0] = 0
    expected += 1
    expected[0] = 0
    torch.testing.assert_close(materialize(waiting.relu()), expected.relu())


WRITES = {
    "method": lambda x: x.relu_(),
    "inplace": lambda x: F.relu(x, inplace=True),
    "operator": lambda x: x.__iadd__(1),
    "item": lambda x: x.__setitem__(0, 0),
    "slice": lambda x: x[:, 0].zero_(),
    "other view": lambda x: x.transpose(0, 1).mul_(2),
    "detached": lambda x: x.detach().abs_(),
    "operator of the dispatcher": lambda x: torch.ops.aten.relu_.default(x),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_is_written_shows_in_views(write):
    waiting, expected = pair()
    views, expected_views = ([t.flatten(2), t.flatten(2).view(N, -1)] for t in (waiting, expected))
    write(waiting)
    write(expected)
    for view, expected_view in zip(views, expected_views, strict=True):
        torch.testing.assert_close(materialize(view.relu()), expected_view.relu(), rtol=0, atol=0)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_is_written_into_a_view_shows_in_its_base(write):
    waiting, expected = pair()
    write(waiting.flatten(2))
    write(expected.flatten(2))
    torch.testing.assert_close(materialize(waiting.relu()), expected.relu(), rtol=0, atol=0)


def test_what_is_written_does_not_show_in_a_copy():
    # Flattened, a tensor in channels-last format is a copy.
    value, baseline, mask = parts()
    value = value.contiguous(memory_format=torch.channels_last)
    waiting = waits(value, baseline)
    flat, expected = waiting.flatten(1), torch.where(mask, value, baseline).flatten(1)
    waiting.zero_()
    torch.testing.assert_close(materialize(flat), expected, rtol=0, atol=0)


def test_a_result_that_is_written_into_a_given_tensor_is_that_of_the_ablated_one():
    waiting, expected = pair()
    out = torch.empty(N, C, dtype=expected.dtype)
    assert torch.mean(waiting, (2, 3), out=out) is out
    torch.testing.assert_close(out, expected.mean((2, 3)), rtol=0, atol=0)


def test_a_tensor_that_is_too_large_is_refused_when_it_is_needed():
    value, baseline, _ = parts()
    waiting = waits(value, baseline, max_elements=6)
    pooled = F.adaptive_avg_pool2d(waiting, 1)
    assert materialize(pooled).shape == (N, C, 1, 1)
    with pytest.raises(CannotBeLazyError, match="too many"):
        waiting + 1


def test_no_ablated_feature_map_is_made_in_front_of_a_pooling(monkeypatch):
    net = GapLinear().double()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=4, importance="shapley", n_clusterings=2)
    expected = cam.attribute(images(), 0)
    # 30 rows of 3 x 6 channels, and not of 30 positions each.
    monkeypatch.setattr(memory_cap, "MAX_ELEMENTS", 30 * 3 * 6)
    passes = []
    net.conv.register_forward_hook(lambda *_: passes.append(1))
    torch.testing.assert_close(cam.attribute(images(), 0), expected)
    assert len(passes) == 1


def test_a_model_that_catches_the_refusal_gets_the_tensor_after_all(monkeypatch, recwarn):
    def catches(x):
        try:
            return x * 2
        except RuntimeError:
            return x.relu()

    model = Tail(catches)
    cam = ClusteredLayerCAM(model, model.net.conv, clusterer=3)
    expected = cam.attribute(images(), 0)
    # Room for two rows of 3 x 6 x 30, and for all rows behind the pooling.
    monkeypatch.setattr(memory_cap, "MAX_ELEMENTS", 2 * 3 * 6 * 30)
    torch.testing.assert_close(cam.attribute(images(), 0), expected)
    assert not recwarn


class Tail(nn.Module):
    """What a model might do with the layer's output, in front of a linear layer."""

    def __init__(self, tail):
        super().__init__()
        self.net = MlpHead().double()
        self.tail = tail

    def forward(self, x):
        net = self.net
        return net.head(net.pool(self.tail(net.conv(net.trunk(x)))))


def shares_memory(x):
    flat = x.flatten(2)
    x[:, :, 2:].relu_()
    x[:, :, :2].relu_()
    return flat.view_as(x)


def goes_around(x):
    with torch._C.DisableTorchFunctionSubclass():
        return x.relu()


@pytest.mark.parametrize("tail", [shares_memory, goes_around])
def test_models_that_cannot_wait_are_given_the_tensor(tail, recwarn):
    model = Tail(tail)
    cam = ClusteredLayerCAM(model, model.net.conv, clusterer=3)
    expected = ClusteredLayerCAM(Tail(torch.relu), model.net.conv, clusterer=3)
    expected.forward_func.net = model.net
    torch.testing.assert_close(cam.attribute(images(), 0), expected.attribute(images(), 0))
    assert not recwarn
