"""Convolutions and batch normalizations of all evaluations: equal to those of vmap."""

import warnings
from contextlib import ExitStack

import pytest
import torch
import torch.nn.functional as F
from nets import images
from torch import nn
from torch._C import _functorch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils._python_dispatch import TorchDispatchMode

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation.single_pass.lazy_base import CannotBeLazyError, materialize
from captum_clustered._ablation.single_pass.tail_help import TailHelp, n_modes

C, OUT = 4, 6
WEIGHT, BIAS = images(OUT, C, (3, 3), seed=3), images(1, OUT, (), 4)[0]
MEAN, SCALE, SHIFT = (images(1, OUT, (), seed)[0] for seed in (5, 6, 7))
VARIANCE = MEAN.square() + 0.5


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


class Operations(TorchDispatchMode):
    """Records what is computed."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def conv(x):
    return F.conv2d(x, WEIGHT, BIAS, padding=1)


def norm(x):
    return F.batch_norm(x, MEAN, VARIANCE, SCALE, SHIFT, eps=0.1)


def overwritten_input(x):
    output = conv(x)
    x.zero_()
    return norm(output)


def overwritten_weight(x):
    weight = WEIGHT.clone()
    output = F.conv2d(x, weight)
    weight.zero_()
    return norm(output)


def kept_for_later(x):
    output = conv(x)
    found = norm(output.relu())
    return found + output


def written_output(x):
    output = conv(x)
    output[:, 0] = 3
    return norm(output)


def two_at_a_time(x):
    first, second = conv(x), conv(2 * x)
    return norm(first) - norm(second)


def with_a_convolution_of_its_own(x):
    return torch.func.vmap(lambda i: conv(x * i))(torch.arange(2).to(x)).sum(0)


CASES = {
    "convolution": conv,
    "without bias": lambda x: F.conv2d(x, WEIGHT, stride=2, dilation=(1, 2)),
    "in groups": lambda x: F.conv2d(x, WEIGHT[:, :2], groups=2),
    "depthwise": lambda x: F.conv2d(x, WEIGHT[:C, :1], groups=C),
    "normalized": lambda x: norm(conv(x)),
    "without parameters": lambda x: F.batch_norm(conv(x), MEAN, VARIANCE),
    "activated in place": lambda x: norm(conv(x)).relu_(),
    "norm alone": lambda x: F.batch_norm(x, MEAN[:C], VARIANCE[:C]),
    "norm without positions": lambda x: norm(conv(x).mean((2, 3))),
    "statistics of the batch": lambda x: F.batch_norm(conv(x), None, None, training=True),
    "block": lambda x: F.relu(norm(conv(x))) + F.conv2d(x, WEIGHT[:, :, :1, :1]),
    "twice": lambda x: conv(conv(x)[:, :C]),
    "shape": lambda x: conv(x) * conv(x).shape[2] * len(conv(x)),
    "size as text": lambda x: F.conv2d(x, WEIGHT, padding="same"),
    "keywords": lambda x: F.batch_norm(
        input=F.conv2d(input=x, weight=WEIGHT), running_mean=MEAN, running_var=VARIANCE
    ),
    "weights of the evaluation": lambda x: F.conv2d(x, WEIGHT * x.mean()),
    "one channel": lambda x: F.conv2d(x[:, :1], WEIGHT[:, :1]),
    "volume": lambda x: F.conv3d(x[:, None], WEIGHT[:, :1, None]),
    "the same image": lambda x: norm(conv(torch.ones(2, C, 5, 5, dtype=x.dtype))) + x.mean(),
    "overwritten input": overwritten_input,
    "overwritten weight": overwritten_weight,
    "kept for later": kept_for_later,
    "written output": written_output,
    "two at a time": two_at_a_time,
    "own vmap": with_a_convolution_of_its_own,
}


def batch(dtype=torch.float64):
    """Three evaluations of two images."""
    return images(6, C, (5, 7), dtype=dtype).view(3, 2, C, 5, 7)


def helped(function, x, in_dims=0):
    def run(t):
        with TailHelp():
            return materialize(function(t))

    return torch.func.vmap(run, in_dims)(x)


@pytest.mark.parametrize("function", CASES.values(), ids=CASES)
def test_each_function_gives_what_it_gives_under_vmap(function):
    expected = torch.func.vmap(function)(batch())
    torch.testing.assert_close(helped(function, batch()), expected)


def test_evaluations_may_be_in_any_dimension():
    x = batch()
    expected = torch.func.vmap(lambda t: norm(conv(t)))(x)
    found = helped(lambda t: norm(conv(t)), x.movedim(0, 3), in_dims=3)
    torch.testing.assert_close(found, expected)


def test_half_precision_and_autocast_are_left_to_vmap():
    x = batch(torch.float32)

    def convolve(t):
        return F.conv2d(t, WEIGHT.to(t.dtype))

    half = x.bfloat16()
    assert torch.equal(helped(convolve, half), torch.func.vmap(convolve)(half))


def test_channels_stay_last_and_the_normalization_costs_nothing():
    def block(x):
        x = norm(conv(x)).relu()
        seen.append(_functorch.get_unwrapped(x).flatten(0, 1))
        return norm(F.conv2d(x, WEIGHT.repeat(1, 2, 1, 1)[:, :OUT]))

    seen = []
    with Operations() as operations:
        helped(block, batch())
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert operations.names.count("convolution") == 2
    assert not {name for name in operations.names if "batch_norm" in name}


def test_an_output_that_is_used_after_its_norm_is_refused():
    def use(x):
        output = conv(x)
        return norm(output) + output

    with pytest.raises(CannotBeLazyError, match="behind its norm"):
        helped(use, batch())


class Mode(TorchFunctionMode):
    """A mode of the model."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class InMode(nn.Module):
    """Its layer is called inside a mode, which ends before the model does."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(2, C, 1)
        self.double().eval()

    def forward(self, x):
        with Mode():
            x = self.layer(x)
        assert not any(isinstance(mode, Mode) for mode in _get_current_function_mode_stack())
        return norm(conv(x)).relu().mean((2, 3))


class Both(nn.Module):
    """Uses a convolution's output in front of and behind its norm."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(2, C, 1)
        self.double().eval()

    def forward(self, x):
        output = conv(self.layer(x).tanh())
        return (norm(output) + output).relu().mean((2, 3))


class Catches(Both):
    """Catches what goes wrong."""

    def forward(self, x):
        output = conv(self.layer(x).tanh())
        normed = norm(output)
        try:
            normed = normed + output
        except RuntimeError:
            return normed.mean((2, 3))
        return normed.relu().mean((2, 3))


@pytest.mark.parametrize("net", [InMode, Both, Catches])
def test_models_for_which_there_is_no_help(net, monkeypatch):
    torch.manual_seed(0)
    model, x = net(), images(2, 2, (5, 5))
    cam = ClusteredLayerCAM(model, model.layer, clusterer=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cam.attribute(x, 1)
    assert n_modes() == 0
    monkeypatch.setattr(TailHelp, "start", lambda *_: None)
    torch.testing.assert_close(found, cam.attribute(x, 1))


class Doubling(TorchFunctionMode):
    """A mode of the user, with twice the batch normalization."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        return 2 * found if func is F.batch_norm else found


def test_a_mode_of_the_user_sees_batch_normalizations():
    def plain(x):
        return norm(conv(x))

    x = batch()
    with Doubling():
        found = helped(plain, x)
    torch.testing.assert_close(found, 2 * torch.func.vmap(plain)(x))


def test_help_ends_with_its_context():
    with ExitStack() as until:
        assert TailHelp().start(until, n_modes())
        assert n_modes() == 1
        assert not TailHelp().start(until, 0)
        assert n_modes() == 1
    assert n_modes() == 0
