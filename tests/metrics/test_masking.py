import pytest
import torch

from captum_clustered.metrics._masking import explanation_mask, hard_mask, pixel_ranks


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
    ("keep", "kept"),
    [(0, []), (0.25, [1]), (0.5, [1, 2]), (0.6, [1, 2]), (0.75, [0, 1, 2]), (1.0, [0, 1, 2, 3])],
)
def test_hard_masks_keep_exactly_that_share(keep, kept):
    mask = hard_mask(torch.tensor([[[[0.0, 1.0], [0.5, 0.0]]]]), keep)
    assert mask.dtype == torch.float32
    assert mask.flatten().nonzero().flatten().tolist() == kept
    assert mask.sum() == len(kept)


@pytest.mark.parametrize("keep", [-0.1, 1.1, float("nan"), True, "half"])
def test_keep_is_a_share(keep):
    with pytest.raises(ValueError, match=r"keep=.*from 0 to 1"):
        hard_mask(torch.rand(1, 1, 2, 2), keep)


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
