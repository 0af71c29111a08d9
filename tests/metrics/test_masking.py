import pytest
import torch
from nets import images
from scipy import ndimage

from captum_clustered.metrics._masking import (
    BLUR,
    baseline_inputs,
    explanation_mask,
    gaussian_blur,
    hard_mask,
    masked_inputs,
    pixel_ranks,
)


def test_masks_are_relu_then_upsampled_then_stretched():
    maps = torch.tensor([[[[-3.0, 1.0]], [[1.0, 2.0]]]])  # summed: -2, 3
    mask = explanation_mask(maps, torch.zeros(1, 3, 1, 4))
    # ReLU: 0, 3; bilinear to four: 0, .75, 2.25, 3.
    torch.testing.assert_close(mask, torch.tensor([[[[0.0, 0.25, 0.75, 1.0]]]]))


@pytest.mark.parametrize("size", [(4,), (4, 6), (4, 6, 2)])
def test_one_to_three_spatial_dimensions(size):
    maps = torch.arange(8.0).view(1, 1, *[2] * len(size), -1)[..., 0]
    mask = explanation_mask(maps, torch.zeros(1, 3, *size))
    assert mask.shape == (1, 1, *size)
    assert mask.min() == 0
    assert mask.max() == 1


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0])
def test_constant_maps_keep_nothing(value):
    mask = explanation_mask(torch.full((2, 1, 3, 3), value), torch.zeros(2, 1, 6, 6))
    assert (mask == 0).all()
    assert (hard_mask(mask, 0.5) == 0).all()
    assert (hard_mask(mask, 1) == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_masks_are_float32_at_least(dtype):
    mask = explanation_mask(torch.eye(3, dtype=dtype)[None, None], torch.zeros(1, 1, 3, 3))
    assert mask.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_ranks_by_hand_and_ties_in_reading_order():
    maps = torch.tensor([[[[2.0, 5.0], [5.0, 1.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    assert pixel_ranks(maps).flatten(1).tolist() == [[2, 0, 1, 3], [0, 1, 2, 3]]
    assert pixel_ranks(maps, descending=False).flatten(1).tolist() == [[1, 2, 3, 0], [0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("top_fraction", "kept"),
    [(0, []), (0.25, [1]), (0.5, [1, 2]), (0.6, [1, 2]), (0.75, [0, 1, 2]), (1.0, [0, 1, 2, 3])],
)
def test_hard_masks_keep_exactly_that_share(top_fraction, kept):
    mask = hard_mask(torch.tensor([[[[0.0, 1.0], [0.5, 0.0]]]]), top_fraction)
    assert mask.dtype == torch.float32
    assert mask.flatten().nonzero().flatten().tolist() == kept
    assert mask.sum() == len(kept)


@pytest.mark.parametrize("top_fraction", [-0.1, 1.1, float("nan"), True, "half"])
def test_top_fraction_is_a_fraction(top_fraction):
    with pytest.raises(ValueError, match=r"top_fraction=.*from 0 to 1"):
        hard_mask(torch.rand(1, 1, 2, 2), top_fraction)


@pytest.mark.parametrize("shape", [(2, 1, 2, 2), (3, 1, 2), (3, 2)])
def test_maps_must_fit_the_inputs(shape):
    with pytest.raises(ValueError, match="do not fit inputs"):
        explanation_mask(torch.zeros(shape), torch.zeros(3, 1, 4, 4))


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 1, 1, 1, 1)])
def test_inputs_have_one_to_three_spatial_dimensions(shape):
    with pytest.raises(ValueError, match="one to three"):
        explanation_mask(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("shape", [(0, 1, 2, 2), (2, 1, 0, 2)])
def test_nothing_to_measure(shape):
    with pytest.raises(ValueError, match="at least one example"):
        explanation_mask(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_maps_must_be_finite(value):
    maps = torch.zeros(1, 1, 2, 2)
    maps[0, 0, 1, 1] = value
    with pytest.raises(ValueError, match="attributions must be finite"):
        explanation_mask(maps, torch.zeros(1, 1, 2, 2))


def test_tuples_are_no_tensors():
    maps = torch.zeros(1, 1, 2, 2)
    with pytest.raises(TypeError, match="attributions must be one Tensor; got tuple"):
        explanation_mask((maps,), maps)
    with pytest.raises(TypeError, match="inputs must be one Tensor; got tuple"):
        explanation_mask(maps, (maps,))


def test_numbers_means_and_tensors_by_hand():
    x = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]], [[[0.0, 1.0]], [[2.0, 6.0]]]])
    assert (baseline_inputs(x, 7) == 7).all()
    assert baseline_inputs(x, "mean").tolist() == [[[[2, 2]], [[5, 5]]], [[[0.5, 0.5]], [[4, 4]]]]
    mean_color = torch.tensor([1, 2]).view(1, 2, 1, 1)
    assert baseline_inputs(x, mean_color).tolist() == [[[[1, 1]], [[2, 2]]]] * 2


def test_mixtures_by_hand():
    mask = torch.tensor([[[[0.0, 0.25, 1.0]]]])
    mixed = masked_inputs(torch.full((1, 2, 1, 3), 8.0), mask, 4)
    assert mixed.tolist() == [[[[4, 5, 8]], [[4, 5, 8]]]]


@pytest.mark.parametrize("size", [(40,), (40, 23), (20, 11, 7)])
def test_blur_is_a_gaussian_normalized_within_the_image(size):
    x = images(2, size=size)
    sigma = [BLUR * length for length in size]
    for image, blurred in zip(x.flatten(0, 1), gaussian_blur(x).flatten(0, 1), strict=True):
        weights = ndimage.gaussian_filter(
            torch.ones(size, dtype=x.dtype).numpy(), sigma, mode="constant", truncate=50
        )
        expected = ndimage.gaussian_filter(image.numpy(), sigma, mode="constant", truncate=50)
        torch.testing.assert_close(blurred, torch.from_numpy(expected / weights))


def test_blur_of_a_constant_image_and_of_half_precision():
    x = torch.full((1, 1, 9, 9), 0.5, dtype=torch.bfloat16)
    assert gaussian_blur(x).dtype == torch.bfloat16
    assert (baseline_inputs(x, "blur") == 0.5).all()


def test_blur_removes_detail_and_keeps_the_mean_color():
    checkers = (torch.arange(60)[:, None] + torch.arange(60)).remainder(2)[None, None].double()
    blurred = gaussian_blur(checkers)
    torch.testing.assert_close(blurred, torch.full_like(blurred, 0.5), atol=0.08, rtol=0)


@pytest.mark.parametrize("baseline", ["black", "", "Blur"])
def test_unknown_words(baseline):
    with pytest.raises(ValueError, match=r"baseline=.*'mean', 'blur' or a Tensor"):
        baseline_inputs(torch.zeros(1, 1, 2, 2), baseline)


@pytest.mark.parametrize("baseline", [None, True, [0.0]])
def test_unknown_kinds(baseline):
    with pytest.raises(TypeError, match="baseline must be a number"):
        baseline_inputs(torch.zeros(1, 1, 2, 2), baseline)


@pytest.mark.parametrize("shape", [(3,), (2, 1, 1, 1, 1), (2, 1, 2, 2)])
def test_tensors_that_do_not_broadcast(shape):
    with pytest.raises(ValueError, match="does not broadcast to inputs of shape"):
        baseline_inputs(torch.zeros(1, 1, 2, 2), torch.zeros(shape))


def test_integers_are_no_images():
    with pytest.raises(TypeError, match=r"inputs must be of a floating-point dtype.*int64"):
        baseline_inputs(torch.zeros(1, 1, 2, 2, dtype=torch.int64), 0.0)
