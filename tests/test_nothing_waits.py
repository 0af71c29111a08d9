"""When a GPU is waited for, found out without one: fake tensors have no values to wait for."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

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
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device=None: torch.zeros(1))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device=None: None)
    monkeypatch.setattr(torch, "equal", equal_states)

    def attribute(tail=nn.Identity, perturbations_per_eval=None, **options):
        # Else a pass that waits would be done again in another way.
        warnings.simplefilter("error")
        with FakeTensorMode(), torch.device("cuda"):
            net = Net(tail()).eval()
            cam = ClusteredLayerCAM(net, net.conv, **options)
            x = torch.randn(2, 3, 10, 10)
            return cam.attribute(x, 1, perturbations_per_eval=perturbations_per_eval)

    with warnings.catch_warnings():
        yield attribute


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"consensus": 3, "scaling": "drop"},
        {"importance": "shapley", "clusterer": 6},
        {"tail": lambda: nn.Conv2d(32, 32, 1)},
        {"tail": lambda: nn.Conv2d(32, 32, 1), "perturbations_per_eval": 4},
    ],
)
def test_only_the_check_of_the_result_waits(explain, monkeypatch, options):
    with pytest.raises(DataDependentOutputException):
        explain(**options)
    monkeypatch.setattr(torch, "isfinite", lambda _: SimpleNamespace(all=lambda: True))
    attribution = explain(**options)
    assert attribution.device.type == "cuda"
    assert attribution.shape == (2, 1, 8, 8)
