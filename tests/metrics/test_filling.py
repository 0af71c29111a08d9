import pytest
import torch
from nets import images
from scipy import ndimage

from captum_clustered.metrics._filling import BLUR, fill, gaussian_blur, masked_inputs


def test_numbers_means_and_tensors_by_hand():
    x = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]], [[[0.0, 1.0]], [[2.0, 6.0]]]])
    assert (fill(x, 7) == 7).all()
    assert fill(x, "mean").tolist() == [[[[2, 2]], [[5, 5]]], [[[0.5, 0.5]], [[4, 4]]]]
    mean_color = torch.tensor([1, 2]).view(1, 2, 1, 1)
    assert fill(x, mean_color).tolist() == [[[[1, 1]], [[2, 2]]]] * 2


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
    assert (fill(x, "blur") == 0.5).all()


def test_blur_removes_detail_and_keeps_the_mean_color():
    checkers = (torch.arange(60)[:, None] + torch.arange(60)).remainder(2)[None, None].double()
    blurred = gaussian_blur(checkers)
    torch.testing.assert_close(blurred, torch.full_like(blurred, 0.5), atol=0.08, rtol=0)


@pytest.mark.parametrize("filling", ["black", "", "Blur"])
def test_unknown_words(filling):
    with pytest.raises(ValueError, match=r"filling=.*'mean', 'blur' or a Tensor"):
        fill(torch.zeros(1, 1, 2, 2), filling)


@pytest.mark.parametrize("filling", [None, True, [0.0]])
def test_unknown_kinds(filling):
    with pytest.raises(TypeError, match="filling must be a number"):
        fill(torch.zeros(1, 1, 2, 2), filling)


@pytest.mark.parametrize("shape", [(3,), (2, 1, 1, 1, 1), (2, 1, 2, 2)])
def test_tensors_that_do_not_broadcast(shape):
    with pytest.raises(ValueError, match="does not broadcast to inputs of shape"):
        fill(torch.zeros(1, 1, 2, 2), torch.zeros(shape))


def test_integers_are_no_images():
    with pytest.raises(TypeError, match=r"inputs must be of a floating-point dtype.*int64"):
        fill(torch.zeros(1, 1, 2, 2, dtype=torch.int64), 0.0)
