"""When a GPU is waited for, found out without one: fake tensors have no values to wait for."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from fake_gpus import fake_gpus
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from captum_clustered import ClusteredLayerCAM


class Net(nn.Module):
    def __init__(self, tail):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3)
        self.tail = tail
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.tail(self.conv(x).relu()).mean((2, 3)))


def equal_states(first, second):
    """Of the CPU's generator, whose states are no fake; what is on the GPU would be waited for."""
    if "cuda" in (first.device.type, second.device.type):
        raise DataDependentOutputException(torch.equal)
    return True


def to_cpu(tensor):
    """Which fake tensors do without waiting."""
    if tensor.device.type == "cuda":
        raise DataDependentOutputException(torch.Tensor.cpu)
    return tensor


class CopiesThatWait(TorchDispatchMode):
    """Refuses to copy from one device to another unless this may happen later."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source = args[func is torch.ops.aten.copy_.default]
            is_elsewhere = source.device.type != found.device.type
            if is_elsewhere and not (kwargs.get("non_blocking") or True in args[2:]):
                raise DataDependentOutputException(func)
        return found


def test_a_number_that_is_sent_to_a_gpu_waits():
    with fake_gpus(), CopiesThatWait(), pytest.raises(DataDependentOutputException):
        torch.as_tensor(0, device="cuda")


@pytest.fixture
def explain(monkeypatch):
    """Explains two images on a GPU that is not there."""
    try:
        with FakeTensorMode():
            nn.Linear(1, 1, device="cuda")
    except RuntimeError:
        pytest.skip("this version of torch needs the GPU for fake tensors, too")
    # Not part of the pass, and they would look for the GPU.
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "get_rng_state", lambda device=None: torch.empty(0, device="cpu")
    )
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device=None: None)
    monkeypatch.setattr(torch, "equal", equal_states)
    monkeypatch.setattr(torch.Tensor, "cpu", to_cpu)

    def attribute(tail=nn.Identity, perturbations_per_eval=None, **options):
        # Else a pass that waits would be done again in another way, with or without a warning.
        warnings.simplefilter("error")
        passes = []
        with FakeTensorMode(), CopiesThatWait(), torch.device("cuda"):
            net = Net(tail()).eval()
            cam = ClusteredLayerCAM(net, net.conv, **options)
            net.conv.register_forward_pre_hook(lambda *_: passes.append(1))
            x = torch.randn(2, 3, 10, 10)
            attribution = cam.attribute(x, 1, perturbations_per_eval=perturbations_per_eval)
            return attribution, len(passes)

    with warnings.catch_warnings():
        yield attribute


@pytest.mark.parametrize(
    ("options", "n_passes"),
    [
        ({}, 1),
        ({"n_clusterings": 3, "scaling": "drop"}, 1),
        ({"importance": "shapley", "clusterer": 6}, 1),
        # The scores of the whole and of ten ablations, in three parts.
        ({"tail": lambda: nn.Conv2d(32, 32, 1), "perturbations_per_eval": 4}, 4),
    ],
)
def test_only_the_check_of_the_result_waits(explain, monkeypatch, options, n_passes):
    with pytest.raises(DataDependentOutputException):
        explain(**options)
    monkeypatch.setattr(torch, "isfinite", lambda _: SimpleNamespace(all=lambda: True))
    attribution, found = explain(**options)
    assert found == n_passes
    assert attribution.device.type == "cuda"
    assert attribution.shape == (2, 1, 8, 8)


class Waits(TorchDispatchMode):
    """Collects the operations for whose result the CPU would wait."""

    names = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.__name__.startswith(self.names):
            self.found.append(func.__name__)
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("importance", ["ablation", "shapley"])
def test_stand_ins_for_ablated_tensors_do_not_wait(importance):
    passes = []
    net = Net(nn.AvgPool2d(2)).eval()
    net.conv.register_forward_pre_hook(lambda *_: passes.append(1))
    cam = ClusteredLayerCAM(net, net.conv, clusterer=6, importance=importance)
    with Waits() as waits:
        cam.attribute(torch.randn(2, 3, 10, 10), 1)
    # Whether the result is finite.
    assert waits.found == ["_local_scalar_dense.default"]
    assert len(passes) == 1
