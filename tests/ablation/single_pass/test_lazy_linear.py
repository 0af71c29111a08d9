"""A linear layer from partial sums by cluster: equal to that of the ablated tensor."""

import pytest
import torch
import torch.nn.functional as F
from nets import GapLinear, MlpHead, images
from torch import Tensor

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation import memory_cap
from captum_clustered._ablation.coalitions import LeaveOneOut, shapley
from captum_clustered._ablation.evaluations import ChannelAblation, Evaluations, add_products
from captum_clustered._ablation.memory_cap import SizeLimit
from captum_clustered._ablation.single_pass import lazy_linear
from captum_clustered._ablation.single_pass.lazy_base import CannotBeLazyError, materialize
from captum_clustered._ablation.single_pass.lazy_linear import LinearOfAblated, final
from captum_clustered._ablation.single_pass.lazy_tensor import LazyAblatedTensor, lazy_ablated

N, C, OUT = 3, 7, 5
LABELS = torch.tensor([[0, 1, 2, 0, 3, 1, 0], [3, 3, 3, 3, 3, 3, 3], [2, 2, 0, 0, 1, 1, 1]])
BOTH_LABELS = torch.stack([LABELS, LABELS.flip(1)])
EXACT = shapley(4, None, n_samples=0, seed=0)
# Its coalitions differ between examples, as those of examples with empty clusters do.
DIFFERENT = type(EXACT)(
    torch.cat([EXACT.coalitions, EXACT.coalitions.flip(0), EXACT.coalitions.flip(2)], 1),
    EXACT.weights,
)
DESIGNS = {"leave one out": LeaveOneOut(4), "Shapley": EXACT, "for each example": DIFFERENT}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


@pytest.fixture(autouse=True)
def no_gradients(monkeypatch):
    # Two blocks of channels, so that blocks are tested, too.
    monkeypatch.setattr(lazy_linear, "MAX_TERMS", 4 * N * OUT)
    with torch.no_grad():
        yield


def pair(
    design=DESIGNS["leave one out"], index=2, size=(2, 2), dtype=torch.float64, with_baseline=True
):
    """A lazy tensor of two clusterings, and what it stands for, in one of the evaluations."""
    value = images(N, C, size, dtype=dtype)
    baseline = images(1, C, size, seed=2, dtype=dtype)
    evaluations = Evaluations(BOTH_LABELS, (design, design), with_baseline, 0, 10**6)
    ablation = ChannelAblation(evaluations, torch.tensor([index]))
    mask = evaluations.masks()[index].view(N, C, *[1] * len(size))
    return (
        lazy_ablated(value, baseline, ablation, SizeLimit(10**6)),
        torch.where(mask, value, baseline),
    )


def weights(size=(2, 2), dtype=torch.float64):
    return images(OUT, C, size, seed=3, dtype=dtype).flatten(1), images(1, OUT, (), 4, dtype)[0]


def close(found, expected):
    tolerance = TOLERANCE[expected.dtype]
    assert found.dtype == expected.dtype
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("size", [(2, 2), (1, 1)])
@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
@pytest.mark.parametrize("max_products", [0, 99])
def test_each_evaluation_equals_the_layer_of_the_ablated_tensor(
    design, size, dtype, max_products, monkeypatch
):
    monkeypatch.setattr(lazy_linear, "MAX_PRODUCTS", max_products)
    weight, bias = weights(size, dtype)
    for index in range(2 + 2 * design.n_coalitions):
        waiting, expected = (
            F.linear(t.flatten(1), weight, bias) for t in pair(design, index, size, dtype)
        )
        assert isinstance(waiting, LinearOfAblated)
        assert waiting.shape == expected.shape
        close(materialize(waiting), expected)


def test_without_bias_and_without_the_baseline():
    weight, _ = weights()
    waiting, expected = (
        F.linear(t.flatten(1), weight=weight) for t in pair(index=1, with_baseline=False)
    )
    close(materialize(waiting), expected)


def test_a_part_of_the_evaluations():
    design = DESIGNS["Shapley"]
    all_of_them = Evaluations(BOTH_LABELS, (design, design), True, 0, 30)
    terms = torch.randn(C, N, OUT)
    some = Evaluations(BOTH_LABELS, (design, design), True, 5, 9)
    sums = some.cluster_sums([(slice(None), terms)])
    assert torch.equal(some.ablated_sums(sums), all_of_them.ablated_sums(sums)[5:9])
    assert torch.equal(some.masks(), all_of_them.masks()[5:9])


def test_sums_by_hand():
    labels = torch.tensor([[[0, 1, 0]]])
    evaluations = Evaluations(labels, (LeaveOneOut(2),), True, 0, 4)
    terms = torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    # Nothing, everything, cluster 0 and cluster 1 are ablated.
    sums = evaluations.cluster_sums([(slice(None), terms)])
    assert sums[0].flatten().tolist() == [5, 2]
    assert evaluations.ablated_sums(sums).flatten().tolist() == [0, 7, 5, 2]
    (parts,) = evaluations.split(torch.tensor([[1.0, 2.0, 4.0]]))
    assert parts[:, 0].tolist() == [[1, 0, 4], [0, 2, 0]]


def test_products_give_the_same_sums():
    labels = torch.tensor([[0, 1, 0], [2, 2, 0]])
    terms = torch.tensor([[[1.0, 2], [4, 8]], [[16, 32], [64, 128]], [[256, 512], [1024, 2048]]])
    sums = torch.ones(3, 2, 2)
    add_products(sums, labels, terms)
    assert (sums - 1).tolist() == [
        [[257, 514], [1024, 2048]],
        [[16, 32], [0, 0]],
        [[0, 0], [68, 136]],
    ]


def test_the_output_without_ablation_is_that_of_the_layer():
    weight, bias = weights(dtype=torch.float32)
    waiting, expected = (
        F.linear(t.flatten(1), weight, bias) for t in pair(index=0, dtype=torch.float32)
    )
    assert torch.equal(materialize(waiting), expected)


def test_rounding_is_that_of_the_unablated_score():
    # Of 1e6 + 1, the ablation of the first channel leaves 1. The unit of rounding is 1/16.
    value = torch.tensor([[[[1e6]], [[1.0]]]])
    evaluations = Evaluations(torch.tensor([[[0, 1]]]), (LeaveOneOut(2),), False, 0, 3)
    scores = []
    for index in range(3):
        ablation = ChannelAblation(evaluations, torch.tensor([index]))
        waiting = lazy_ablated(value, torch.zeros(()), ablation, SizeLimit(9))
        scores.append(materialize(F.linear(waiting.flatten(1), torch.ones(1, 2))).item())
    assert scores[0] == 1e6 + 1
    assert scores[1:] == pytest.approx([1, 1e6], abs=1e6 * 2**-23)


READS = {
    "column": lambda x: x[:, 3],
    "last column": lambda x: x[:, -1],
    "gather": lambda x: torch.gather(x, 1, torch.tensor([[4], [0], [2]])),
    "method": lambda x: x.gather(1, torch.tensor([[4], [0], [2]])),
    "all": lambda x: x.softmax(1),
    "rows": lambda x: x[1:],
    "two columns": lambda x: x.gather(1, torch.tensor([[4, 1], [0, 1], [2, 1]])),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("size", [(2, 2), (1, 1)])
def test_what_is_read_at_the_end_is_what_the_layer_gives(read, size):
    weight, bias = weights(size)
    for index in range(10):
        waiting, expected = (
            F.linear(t.flatten(1), weight, bias) for t in pair(index=index, size=size)
        )
        close(materialize(read(final(waiting))), read(expected))


def test_at_the_end_other_outputs_are_not_computed(monkeypatch):
    weight, bias = weights()
    waiting = final(F.linear(pair()[0].flatten(1), weight, bias))

    def refuse(*args):
        raise AssertionError("computed")

    monkeypatch.setattr(type(waiting.__dict__["_state"]), "_cluster_sums", refuse)
    for read in ("column", "last column", "gather", "method"):
        assert not isinstance(READS[read](waiting), LinearOfAblated)
    with pytest.raises(AssertionError, match="computed"):
        READS["all"](waiting)


@pytest.mark.parametrize("column", [OUT, -OUT - 1])
def test_a_column_that_is_not_there_is_refused_as_ever(column):
    weight, bias = weights()
    with pytest.raises(IndexError):
        final(F.linear(pair()[0].flatten(1), weight, bias))[:, column]


WRITES = {
    "activation": lambda y: F.relu(y, inplace=True),
    "operator": lambda y: y.__iadd__(1),
    "view": lambda y: y[:, 1].zero_(),
    "item": lambda y: y.__setitem__((slice(None), 1), 0.0),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_is_written_into_the_output_stays(write):
    weight, bias = weights()
    outputs = [F.linear(t.flatten(1), weight, bias) for t in pair()]
    for output in outputs:
        write(output)
    waiting, expected = (final(outputs[0]), outputs[1])
    close(materialize(waiting), expected)
    close(waiting[:, 1] + 1, expected[:, 1] + 1)


def test_a_weight_that_is_written_after_its_use_is_noticed():
    weight, bias = weights()
    waiting = F.linear(pair()[0].flatten(1), weight, bias)
    weight += 1
    with pytest.raises(CannotBeLazyError, match="weight"):
        materialize(waiting)


def test_an_output_that_is_too_large_is_refused_when_all_of_it_is_needed():
    weight, bias = weights()
    value = images(N, C, (2, 2))
    ablation = ChannelAblation(
        Evaluations(BOTH_LABELS[:1], (LeaveOneOut(4),), False, 0, 5), torch.tensor([1])
    )
    waiting = lazy_ablated(value, torch.zeros(()).double(), ablation, SizeLimit(N * OUT - 1))
    output = final(F.linear(waiting.flatten(1), weight, bias))
    assert output[:, 1].shape == (N,)
    with pytest.raises(CannotBeLazyError, match="too many"):
        output.softmax(1)


class Labeled(Tensor):
    """A subclass of the user."""


@pytest.mark.parametrize(
    "use",
    [
        lambda x, w: F.linear(x, torch.ones(4, 2).double()),
        lambda x, w: F.linear(torch.ones(2, 28).double(), x.flatten(1)),
        lambda x, w: F.linear(x.flatten(1), w.as_subclass(Labeled)),
        lambda x, w: F.linear(x.flatten(1), x.flatten(1)),
        lambda x, w: F.linear(x.flatten(1), w, x.flatten(1)[0, :OUT]),
        lambda x, w: torch.func.vmap(lambda i: F.linear(x.flatten(1), w * i))(torch.arange(2)),
        lambda x, w: x.flatten(1) @ w.T,
    ],
)
def test_all_others_get_the_ablated_tensor(use):
    waiting, expected = (use(t, weights()[0]) for t in pair())
    assert not isinstance(waiting, LinearOfAblated | LazyAblatedTensor)
    close(waiting, expected)


def test_gradients_that_a_model_computes_are_those_of_the_ablated_tensor():
    weight = weights()[0].requires_grad_()
    with torch.enable_grad():
        waiting, expected = (
            torch.autograd.grad(F.linear(t.flatten(1), weight).square().sum(), weight)[0]
            for t in pair()
        )
    close(waiting, expected)


def test_half_precision_has_the_rounding_of_the_layers_own_output():
    dtype = torch.bfloat16
    weight, bias = weights(dtype=dtype)
    waiting, expected = (F.linear(t.flatten(1), weight, bias) for t in pair(dtype=dtype))
    # Two units of rounding of the largest output without ablation.
    unit = 2**-8 * float(
        F.linear(pair(index=0, dtype=dtype)[1].flatten(1), weight, bias).abs().max()
    )
    torch.testing.assert_close(materialize(waiting), expected, rtol=0, atol=2 * unit)


@pytest.mark.parametrize("importance", ["ablation", "shapley"])
def test_ablations_of_a_linear_tail_need_no_memory(importance, monkeypatch):
    net = GapLinear().double()
    passes = []
    net.conv.register_forward_hook(lambda *_: passes.append(1))
    cam = ClusteredLayerCAM(net, net.conv, clusterer=torch.arange(6), importance=importance)
    expected = cam.attribute(images(), [0, 2, 1])
    # Neither the pooled channels of each evaluation are made nor the scores of each class.
    monkeypatch.setattr(memory_cap, "MAX_ELEMENTS", 1)
    torch.testing.assert_close(cam.attribute(images(), [0, 2, 1]), expected)
    assert len(passes) == 2


def test_layers_behind_the_linear_one_get_its_output(monkeypatch):
    net = MlpHead().double()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=4, importance="shapley")
    found = cam.attribute(images(), 1)
    monkeypatch.delitem(LazyAblatedTensor.rules, F.linear)
    torch.testing.assert_close(found, cam.attribute(images(), 1), rtol=1e-12, atol=1e-12)


def test_under_autocast_the_output_has_the_layers_dtype():
    weight, bias = weights(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        waiting, expected = (
            F.linear(t.flatten(1), weight, bias) for t in pair(dtype=torch.float32)
        )
        found = materialize(waiting)
    assert waiting.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * float(expected.abs().max()))


@pytest.mark.parametrize("n_clusters", [4, 12])
def test_behind_a_linear_tail_shapley_values_are_the_drops(n_clusters):
    net = GapLinear(channels=16).double()
    x = images()
    drops, values = (
        ClusteredLayerCAM(net, net.conv, clusterer=n_clusters, importance=importance)
        .attribute(x, 1, return_clusters=True)[1]
        .importances
        for importance in ("ablation", "shapley")
    )
    assert drops.abs().min() > 1e-6
    torch.testing.assert_close(values, drops, rtol=1e-9, atol=1e-12)
