import threading
import warnings
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from nets import MlpHead, images
from torch import nn
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation.single_pass.vmap_gaps import plain_autograd_functions


class Swish(Function):
    """As in efficientnet_pytorch, with the context of torch 1."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        assert ctx.needs_input_grad == (False,)
        return x * torch.sigmoid(x)


class Double(Function):
    """With a setup_context but without a rule for vmap."""

    @staticmethod
    def forward(x):
        return 2 * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass


class Ruled(Function):
    """With a rule of its own."""

    @staticmethod
    def forward(x):
        # vmap uses the rule only behind the layer.
        assert not torch._C._functorch.is_batchedtensor(x)
        return 3 * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def vmap(info, in_dims, x):
        return 3 * x, in_dims[0]


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


FUNCTIONS = {
    "swish": (lambda x: Swish.apply(x), lambda x: x * x.sigmoid()),
    "double": (lambda x: Double.apply(x), lambda x: 2 * x),
    "rule": (lambda x: Ruled.apply(x), lambda x: 3 * x),
    "checkpoint": (
        lambda x: checkpoint(torch.tanh, x, use_reentrant=True),
        torch.tanh,
    ),
}


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_without_a_rule_run_in_one_pass(name, behind):
    def explain(function):
        net = MlpHead(channels=12).double()
        (net.head if behind else net.trunk).insert(1, Apply(function))
        cam = ClusteredLayerCAM(net, net.conv, clusterer=3)
        return cam.attribute(images(), 0)

    before = Function.__dict__["apply"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "None of the inputs have requires_grad")
        found, expected = map(explain, FUNCTIONS[name])
    torch.testing.assert_close(found, expected)
    assert Function.__dict__["apply"] is before


def test_other_threads_call_functions_as_always():
    errors = []

    def other():
        try:
            torch.func.vmap(Swish.apply)(torch.ones(2))
        except RuntimeError as error:
            errors.append(str(error))

    with plain_autograd_functions():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        x = torch.ones(2, requires_grad=True)
        assert Double.apply(x.detach()).tolist() == [2, 2]
    assert "setup_context" in errors[0]


def autocast(enabled=True):
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


class HalfPrecision(nn.Module):
    """
    Convolutions behind the layer, in autocast regions.

    ``region`` makes the model's own context around all of it or, with ``tail_only``, around what
    follows on the layer; ``layer_region`` that around the layer.
    """

    def __init__(self, region, layer_region=nullcontext, tail_only=False):
        super().__init__()
        weights = torch.Generator().manual_seed(0)
        self.layer = nn.Conv2d(2, 8, 3)
        self.region, self.layer_region, self.tail_only = region, layer_region, tail_only
        self.tail = nn.Sequential(
            nn.Conv2d(8, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(8, 8, 3),
        )
        self.fc = nn.Linear(8, 3)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=weights) / 2
        self.eval()

    def forward(self, x):
        PASSES.append(self)
        with nullcontext() if self.tail_only else self.region():
            with self.layer_region():
                x = self.layer(x)
            with self.region():
                x = F.conv2d(input=x, weight=self.tail[0].weight, bias=self.tail[0].bias)
                DTYPES.append(x.dtype)
                return self.fc(self.tail[1:](x).tanh().mean((2, 3)))


# Lists of the model would be put back after each pass.
PASSES, DTYPES = [], []


@pytest.mark.parametrize(
    ("model", "is_outside", "perturbations_per_eval", "n_passes"),
    [
        (lambda: HalfPrecision(nullcontext), True, None, 1),
        (lambda: HalfPrecision(nullcontext), True, 2, 3),
        # Found out in a pass of its own.
        (lambda: HalfPrecision(autocast), False, None, 2),
        (lambda: HalfPrecision(autocast, tail_only=True), False, None, 2),
        (lambda: HalfPrecision(nullcontext, lambda: autocast(False)), True, None, 1),
        (lambda: HalfPrecision(nullcontext, lambda: torch.device("cpu")), True, None, 2),
    ],
    ids=["caller", "caller, chunks", "model", "tail", "not the layer", "mode around the layer"],
)
def test_convolutions_under_autocast_run_in_one_pass(
    model, is_outside, perturbations_per_eval, n_passes
):
    net, x = model(), images(dtype=torch.float32)
    labels = [0, 1] * 4
    cam = ClusteredLayerCAM(net, net.layer, clusterer=torch.tensor(labels))

    def score(removed):
        def hook(module, args, output):
            return output * torch.tensor([k != removed for k in labels])[:, None, None]

        handle = net.layer.register_forward_hook(hook)
        with torch.no_grad():
            found = net(x)[:, 1].float()
        handle.remove()
        return found

    with warnings.catch_warnings(), autocast(is_outside):
        warnings.simplefilter("error")
        PASSES.clear()
        _, clusters = cam.attribute(
            x, 1, return_clusters=True, perturbations_per_eval=perturbations_per_eval
        )
        assert len(PASSES) == n_passes
        # As in a plain pass.
        assert DTYPES[-1] == torch.bfloat16
        expected = torch.stack([score(None) - score(k) for k in range(2)], 1)
    torch.testing.assert_close(clusters.importances, expected, atol=0.02, rtol=0.02)
    assert expected.abs().max() > 0.5
