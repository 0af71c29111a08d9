"""A convolution from its ablated channels: equal to that of the ablated tensor."""

import pytest
import torch
import torch.nn.functional as F
from nets import images
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation.coalitions import LeaveOneOut, shapley
from captum_clustered._ablation.evaluations import ChannelAblation, Evaluations
from captum_clustered._ablation.memory_cap import SizeLimit
from captum_clustered._ablation.single_pass import lazy_convolution
from captum_clustered._ablation.single_pass.lazy_base import CannotBeLazyError, materialize
from captum_clustered._ablation.single_pass.lazy_convolution import ConvolutionOfAblated
from captum_clustered._ablation.single_pass.lazy_tensor import LazyAblatedTensor, lazy_ablated
from captum_clustered._ablation.single_pass.tail_help import TailHelp

N, C, OUT = 3, 7, 5
LABELS = torch.tensor([[0, 1, 2, 0, 3, 1, 0], [3, 3, 3, 3, 3, 3, 3], [2, 2, 0, 0, 1, 1, 1]])
BOTH_LABELS = torch.stack([LABELS, LABELS.flip(1)])
DESIGNS = {"leave one out": LeaveOneOut(4), "Shapley": shapley(4, None, n_samples=0, seed=0)}
KINDS = {
    "1x1": ((1, 1), {}),
    "1x1, every other position": ((1, 1), {"stride": 2}),
    "3x3": ((3, 3), {"padding": 1}),
    "3x2": ((3, 2), {"padding": (0, 1), "stride": (1, 2), "dilation": 2}),
}
NORM = [torch.linspace(a, b, OUT) for a, b in ((-1, 1), (0.5, 2), (2, -1), (0, 3))]


@pytest.fixture(autouse=True)
def small_convolutions(monkeypatch):
    monkeypatch.setattr(lazy_convolution, "MIN_MULTIPLICATIONS", 0)
    monkeypatch.setattr(lazy_convolution, "MAX_ABLATED", 1)
    with torch.no_grad():
        yield


def pair(design=DESIGNS["leave one out"], index=2, dtype=torch.float64, limit=10**6):
    """A lazy tensor of two clusterings, and what it stands for, in one of the evaluations."""
    value = images(N, C, (6, 7), dtype=dtype)
    baseline = images(1, C, (), seed=2, dtype=dtype)[..., None, None]
    evaluations = Evaluations(BOTH_LABELS, (design, design), True, 0, 10**6)
    ablation = ChannelAblation(evaluations, torch.tensor([index]))
    mask = evaluations.masks()[index].view(N, C, 1, 1)
    return (
        lazy_ablated(value, baseline, ablation, SizeLimit(limit)),
        torch.where(mask, value, baseline),
    )


def weights(kernel=(3, 3), dtype=torch.float64):
    return images(OUT, C, kernel, seed=3, dtype=dtype), images(1, OUT, (), 4, dtype)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("kernel", "options"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_each_evaluation_equals_the_convolution_of_the_ablated_tensor(
    design, kernel, options, dtype
):
    parameters = weights(kernel, dtype)
    for index in range(2 + 2 * design.n_coalitions):
        waiting, expected = (
            F.conv2d(t, *parameters, **options) for t in pair(design, index, dtype)
        )
        assert isinstance(waiting, ConvolutionOfAblated)
        assert waiting.shape == expected.shape
        tolerance = (1e-12 if dtype == torch.float64 else 1e-5) * expected.abs().max().item()
        torch.testing.assert_close(materialize(waiting), expected, rtol=0, atol=tolerance)


def test_a_batch_normalization_waits_and_leaves_the_convolution_as_it_is():
    def both(tensor):
        output = F.conv2d(tensor, *weights())
        return output, F.batch_norm(output, *(t.double() for t in NORM), eps=0.1)

    waiting, expected = map(both, pair())
    assert isinstance(waiting[1], ConvolutionOfAblated)
    for found, value in zip(waiting, expected, strict=True):
        torch.testing.assert_close(materialize(found), value)


def test_other_functions_get_the_values():
    waiting, expected = (F.conv2d(t, *weights()).relu_() for t in pair())
    torch.testing.assert_close(materialize(waiting), expected)
    waiting, expected = (
        F.batch_norm(F.conv2d(t, *weights()), None, None, training=True) for t in pair()
    )
    torch.testing.assert_close(waiting, expected)


def test_what_is_written_into_the_output_stays():
    output = F.conv2d(pair()[0], *weights())
    output.fill_(3)
    assert (output + 1 == 4).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # An output of 6 x 7 from 7 x 9 weights for each of 5 channels.
        ("MIN_MULTIPLICATIONS", 5 * 7 * 9 * 42 + 1),
        # Of ten evaluations, one keeps nothing, and each channel is left out in two of the others.
        ("MAX_ABLATED", 0.29),
    ],
)
def test_what_would_not_be_faster_is_not_computed_this_way(name, value, monkeypatch):
    def use(tensor):
        return F.conv2d(tensor, *weights(), padding=1)

    assert isinstance(use(pair()[0]), ConvolutionOfAblated)
    monkeypatch.setattr(lazy_convolution, name, value)
    waiting, expected = map(use, pair())
    assert not isinstance(waiting, ConvolutionOfAblated)
    torch.testing.assert_close(waiting, expected)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: F.conv2d(x.bfloat16(), weights(dtype=torch.bfloat16)[0]),
        lambda x: F.conv2d(x, images(14, 1, (3, 3)), groups=7),
        lambda x: F.conv2d(x, weights()[0], padding="same"),
        lambda x: F.conv3d(x[:, None], weights()[0][:, None, None, 0]),
    ],
)
def test_all_others_get_the_ablated_tensor(use):
    waiting, expected = map(use, pair())
    assert not isinstance(waiting, ConvolutionOfAblated)
    torch.testing.assert_close(materialize(waiting), expected)


def test_half_precision_of_autocast_is_that_of_the_ablated_tensor():
    with torch.autocast("cpu", torch.bfloat16):
        waiting, expected = (
            F.conv2d(t, *weights(dtype=torch.float32)) for t in pair(dtype=torch.float32)
        )
    assert torch.equal(waiting, expected)


def test_gradients_that_a_model_computes_are_those_of_the_ablated_tensor():
    weight = weights()[0].requires_grad_()
    with torch.enable_grad():
        waiting, expected = (
            torch.autograd.grad(F.conv2d(t, weight).square().sum(), weight)[0] for t in pair()
        )
    torch.testing.assert_close(waiting, expected)


def test_a_weight_that_is_written_after_its_use_is_noticed():
    weight, bias = weights()
    waiting = F.conv2d(pair()[0], weight, bias)
    weight.mul_(2)
    with pytest.raises(CannotBeLazyError, match="written into the weight"):
        materialize(waiting)


def test_it_is_refused_where_the_ablated_layer_would_be():
    n_elements = N * C * 6 * 7
    materialize(F.conv2d(pair(limit=n_elements)[0], *weights()))
    with pytest.raises(CannotBeLazyError, match="too many"):
        materialize(F.conv2d(pair(limit=n_elements - 1)[0], *weights()))


class Residual(nn.Module):
    """A block as in ResNet, on a layer of 4 channels."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(2, 4, 3)
        self.conv1, self.bn1 = nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 5, 3, stride=2, padding=1), nn.BatchNorm2d(5)
        self.downsample = nn.Sequential(nn.Conv2d(4, 5, 1, stride=2), nn.BatchNorm2d(5))
        self.double().eval()
        for index, buffer in enumerate(self.buffers()):
            if buffer.is_floating_point():
                buffer.copy_(torch.linspace(0.5, 1 + index, len(buffer)))

    def forward(self, x):
        x = self.layer(x)
        out = self.bn1(self.conv1(x)).relu_()
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        return F.relu(out, inplace=True).mean((2, 3))


def test_a_residual_block_behind_the_layer(monkeypatch, recwarn):
    torch.manual_seed(0)
    net = Residual()
    x = images(3, 2, (9, 9))
    cam = ClusteredLayerCAM(net, net.layer, clusterer=torch.tensor([0, 1, 0, 2]))
    found = cam.attribute(x, 1)
    assert not recwarn
    monkeypatch.delitem(LazyAblatedTensor.rules, torch.conv2d)
    monkeypatch.setattr(TailHelp, "start", lambda *_: None)
    torch.testing.assert_close(found, cam.attribute(x, 1), rtol=1e-10, atol=1e-12)


def test_a_weight_that_is_overwritten_in_front_of_the_norm_is_refused():
    weight, bias = weights()
    waiting = F.conv2d(pair()[0], weight, bias)
    weight.zero_()
    with pytest.raises(CannotBeLazyError, match="written into the weight"):
        F.batch_norm(waiting, *(t.double() for t in NORM))
