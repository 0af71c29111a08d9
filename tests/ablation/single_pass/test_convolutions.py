"""Convolutions and batch normalizations, against those of torch."""

import pytest
import torch
import torch.nn.functional as F
from nets import images

from captum_clustered._ablation.single_pass.convolutions import Convolution, scale_and_shift

# Size of the kernel, and options of torch.conv2d.
KINDS = [
    ((1, 1), {}),
    ((1, 1), {"stride": (2, 3)}),
    ((1, 1), {"padding": 1}),
    ((3, 2), {"padding": (2, 0), "stride": 2}),
    ((2, 3), {"dilation": (3, 2), "padding": [1]}),
    ((3, 3), {"groups": 2, "stride": 3}),
]


def norm(n_channels):
    mean, weight, bias = (images(1, n_channels, (), seed)[0] for seed in (5, 6, 7))
    return mean, weight.square() + 0.5, weight, bias


@pytest.mark.parametrize(("kernel", "options"), KINDS)
def test_it_computes_what_torch_computes(kernel, options):
    x = images(2, 4, (9, 8))
    weight, bias = images(6, 4 // options.get("groups", 1), kernel, 3), images(1, 6, (), 4)[0]
    convolution = Convolution.of(weight, bias, **options)
    expected = F.conv2d(x, weight, bias, **options)
    torch.testing.assert_close(convolution(x), expected)
    assert convolution.output_shape(x.shape) == expected.shape
    normalized = F.batch_norm(expected, *norm(6), eps=0.3)
    scaled = convolution.scaled(*scale_and_shift(*norm(6), eps=0.3))
    torch.testing.assert_close(scaled(x), normalized)
    if convolution.groups == 1:
        products = torch.einsum("ckp,cko->op", convolution.patches(x[1]), convolution.kernels())
        torch.testing.assert_close(
            products.view(expected[1].shape) + bias[:, None, None], expected[1]
        )


def test_without_parameters_a_batch_normalization_has_its_statistics():
    mean, variance = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])
    scale, shift = scale_and_shift(mean, variance, eps=1.0)
    assert scale.tolist() == [0.5, 1]
    assert shift.tolist() == [-0.5, -2]
    convolution = Convolution.of(torch.ones(2, 1, 1, 1)).scaled(scale, shift)
    assert convolution(torch.full((1, 1, 1, 1), 4.0)).flatten().tolist() == [1.5, 2]


def test_what_is_not_understood():
    weight = torch.ones(2, 3, 1, 1)
    assert Convolution.of(weight, padding="same") is None
    assert Convolution.of(weight[0]) is None
    assert Convolution.of(weight, stride=(1, 1, 1)) is None
    assert Convolution.of(torch.ones(2, 3, 1, 1, dtype=torch.int)) is None
    assert scale_and_shift(None, None, training=True) is None
    seen = []
    torch.func.vmap(lambda w: seen.append(Convolution.of(w)) or w)(weight[None])
    assert seen == [None]
    assert Convolution.of(weight).output_shape(torch.Size([1, 4, 5, 5])) is None
    assert Convolution.of(torch.ones(2, 3, 6, 6)).output_shape(torch.Size([1, 3, 5, 5])) is None
