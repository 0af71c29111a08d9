"""What all metrics have in common, and their examples."""

import doctest

import pytest
import torch
from nets import GapLinear, images
from toys import batch, one_by_one

from captum_clustered import ClusteredLayerCAM, metrics, scores


def explain(inputs, target=None):
    return inputs.detach().sum(1, keepdim=True)


# Called with forward_func, inputs, attributions and target.
METRICS = {
    name: getattr(metrics, name)
    for name in (
        "average_drop",
        "average_gain",
        "deletion",
        "deletion_curve",
        "increase_in_confidence",
        "insertion",
        "insertion_curve",
        "insertion_minus_deletion",
        "road",
    )
}
METRICS["adcc"] = lambda *args, **kwargs: metrics.adcc(explain, *args, **kwargs)
METRICS["coherency"] = lambda f, x, maps, target: metrics.coherency(explain, x, maps, target=target)
METRICS["complexity"] = lambda f, x, maps, target: metrics.complexity(maps, x)
METRICS["average_drop, blur"] = lambda *args, **kwargs: metrics.average_drop(
    *args, **kwargs, filling="blur", keep=0.5
)

every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def test_every_metric_is_here():
    against_masks = {"EnergyShares", "energy_pointing_game", "energy_shares", "iou"}
    assert set(metrics.__all__) == against_masks | {"pointing_game"} | (
        set(METRICS) - {"average_drop, blur"}
    )


@every_metric
def test_one_value_for_each_example_whatever_the_others(metric):
    x, maps = batch()
    forward = scores.probability(GapLinear().double())
    whole = metric(forward, x, maps, target=[0, 1, 2])
    assert len(whole) == 3
    assert whole.dtype == torch.float64
    single = one_by_one(
        lambda x, maps, target: metric(forward, x, maps, target=target),
        x,
        maps,
        target=[0, 1, 2],
    )
    torch.testing.assert_close(single, whole, rtol=1e-8, atol=1e-10)


@every_metric
def test_nothing_is_left_behind(metric):
    net = GapLinear().double()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    seen = []

    def forward(x):
        seen.append(torch.is_grad_enabled())
        return net(x).softmax(1)

    # Of float64, which needs no conversion, so that the inputs themselves are at stake.
    x, maps = batch()
    x, maps = x.requires_grad_(), maps.requires_grad_()
    copies = x.detach().clone(), maps.detach().clone()
    state = torch.get_rng_state()
    found = metric(forward, x, maps, target=1)
    assert not found.requires_grad
    assert not any(seen)
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, copies[0])
    assert torch.equal(maps, copies[1])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.training


@every_metric
def test_half_precision_is_measured_in_float32(metric):
    x, maps = batch(dtype=torch.float32)
    exact = metric(scores.probability(GapLinear()), x, maps, target=1)
    forward = scores.probability(GapLinear().bfloat16())
    found = metric(forward, x.bfloat16(), maps.bfloat16(), target=1)
    assert found.dtype == torch.float32
    scale = 100 if exact.max() > 1 else 1
    torch.testing.assert_close(found / scale, exact / scale, atol=0.05, rtol=0)


# The imputation of ROAD is two-dimensional, which has its own test.
@pytest.mark.parametrize("name", sorted(set(METRICS) - {"road"}))
@pytest.mark.parametrize("size", [(7,), (4, 3, 5)])
def test_signals_and_volumes(name, size):
    x, maps = batch(size)
    forward = scores.probability(GapLinear(dims=len(size)).double())
    found = METRICS[name](forward, x, maps, target=1)
    assert found.isfinite().all()
    assert len(found) == 3


@every_metric
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_maps_have_finite_values(metric, value):
    x, maps = batch()
    forward = scores.probability(GapLinear().double())
    assert metric(forward, x, torch.full_like(maps, value), target=1).isfinite().all()


@pytest.mark.parametrize("name", [name for name in metrics.__all__ if name != "EnergyShares"])
def test_the_example_in_the_docstring_runs(name):
    metric = getattr(metrics, name)
    names = vars(metrics) | {
        "torch": torch,
        "scores": scores,
        "ClusteredLayerCAM": ClusteredLayerCAM,
        "net": GapLinear(),
        "input": images(2, size=(12, 10), dtype=torch.float32),
    }
    (example,) = doctest.DocTestFinder(recurse=False).find(metric, name, globs=names)
    report = []
    result = doctest.DocTestRunner().run(example, out=report.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(report)
