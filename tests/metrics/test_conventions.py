"""What all metrics have in common, and their examples."""

import doctest
import inspect
import re
import sys

import pytest
import torch
from nets import GapLinear, images
from toys import batch, one_by_one

from captum_clustered import ClusteredLayerCAM, metrics, scores
from captum_clustered.metrics._registry import METRICS
from captum_clustered.metrics._registry import metric as declare


def explain(inputs, target=None):
    return inputs.detach().sum(1, keepdim=True)


class Called:
    """A metric, called with everything that any metric takes."""

    def __init__(self, function, options=None, part=""):
        self.function, self.options, self.part = function, options or {}, part
        self.names = inspect.signature(function).parameters

    def __call__(self, forward, x, maps, target):
        masks = torch.zeros(x.shape[0], *x.shape[2:])
        masks.flatten(1)[:, 2:5] = 1
        given = {
            "explanation_func": explain,
            "forward_func": forward,
            "inputs": x,
            "attributions": maps,
            "masks": masks,
            "target": target,
        }
        chosen = {name: value for name, value in given.items() if name in self.names}
        if "kwargs" in self.names:
            chosen["target"] = target
        found = self.function(**chosen, **self.options)
        return getattr(found, self.part) if self.part else found


EVERYTHING = {
    name: Called(metric.function, metric.options, metric.part)
    for name, metric in METRICS.items()
    if (not metric.takes("case") and not metric.is_variant) or name == "average drop 50% (blur)"
} | {curve: Called(getattr(metrics, curve)) for curve in ("deletion_curve", "insertion_curve")}
OF_INPUTS = {name: called for name, called in EVERYTHING.items() if "inputs" in called.names}

every_metric = pytest.mark.parametrize("metric", EVERYTHING.values(), ids=EVERYTHING)
every_metric_of_inputs = pytest.mark.parametrize("metric", OF_INPUTS.values(), ids=OF_INPUTS)


# Of modules: some have the name of a function, which the package has under it.
FUNCTIONS = {
    name: getattr(module, name)
    for path, module in list(sys.modules.items())
    if path.startswith("captum_clustered.metrics.")
    for name in getattr(module, "__all__", ())
    if inspect.isfunction(getattr(module, name))
}


def test_every_function_is_declared():
    declared = {metric.function.__name__ for metric in METRICS.values() if not metric.takes("case")}
    assert set(FUNCTIONS) == declared | {"deletion_curve", "insertion_curve"}
    assert all(getattr(metrics, name) is function for name, function in FUNCTIONS.items())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_is_complete(name):
    function = FUNCTIONS[name]
    assert "$" not in function.__doc__
    arguments = function.__doc__.split("Args:")[1].split("Returns:")[0]
    for argument, parameter in inspect.signature(function).parameters.items():
        described = re.search(
            rf"^ {{8}}\**{argument} \(.*?(?=^ {{8}}\S|\Z)", arguments, re.M | re.S
        )
        assert described, argument
        has_default = parameter.default is not inspect.Parameter.empty
        assert ("Default:" in described[0]) == has_default
    for section in ("Returns", "Raises", "Examples"):
        assert f"{section}:" in function.__doc__


def test_two_metrics_of_one_name():
    with pytest.raises(ValueError, match="a metric 'ROAD' already"):
        declare("ROAD", direction="higher", meaning="", values="", won_by="")(lambda maps: maps)
    with pytest.raises(ValueError, match="direction='up' must be 'higher', 'lower' or None"):
        declare("new", direction="up", meaning="", values="", won_by="")


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


@every_metric_of_inputs
def test_half_precision_is_measured_in_float32(metric):
    x, maps = batch(dtype=torch.float32)
    exact = metric(scores.probability(GapLinear()), x, maps, target=1)
    forward = scores.probability(GapLinear().bfloat16())
    found = metric(forward, x.bfloat16(), maps.bfloat16(), target=1)
    assert found.dtype == torch.float32
    scale = 100 if exact.max() > 1 else 1
    torch.testing.assert_close(found / scale, exact / scale, atol=0.05, rtol=0)


# The imputation of ROAD is two-dimensional, which has its own test.
@pytest.mark.parametrize("name", [name for name in EVERYTHING if name != "ROAD"])
@pytest.mark.parametrize("size", [(7,), (4, 3, 5)])
def test_signals_and_volumes(name, size):
    x, maps = batch(size)
    forward = scores.probability(GapLinear(dims=len(size)).double())
    found = EVERYTHING[name](forward, x, maps, target=1)
    assert found.isfinite().all()
    assert len(found) == 3


@every_metric_of_inputs
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_maps_have_finite_values(metric, value):
    x, maps = batch()
    forward = scores.probability(GapLinear().double())
    assert metric(forward, x, torch.full_like(maps, value), target=1).isfinite().all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_in_the_docstring_runs(name):
    metric = FUNCTIONS[name]
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
