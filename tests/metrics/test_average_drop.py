import pytest
import torch
from nets import GapLinear, images

from captum_clustered.metrics import average_drop
from captum_clustered.metrics.masking import explanation_mask
from captum_clustered.scores import probability


def mean_of_first_channel(x, extra=0.0):
    """A "probability" that can be read off the image."""
    return torch.stack([x[:, 0].mean((1, 2)) + extra, torch.zeros(len(x))], 1)


def test_drop_by_hand():
    x = torch.full((3, 1, 2, 2), 0.8)
    x[2] = 0
    maps = torch.tensor(
        [[[[2.0, 1.0], [1.0, 1.0]]], [[[4.0, 2.0], [2.0, 0.0]]], [[[1, 0], [0, 0]]]]
    )
    # Masks: 1 0 / 0 0 keeps a quarter, 1 .5 / .5 0 a half; 0 / 0 is no drop.
    drop = average_drop(mean_of_first_channel, x, maps, target=0)
    torch.testing.assert_close(drop, torch.tensor([75.0, 50.0, 0.0]))


def test_a_gain_is_no_drop():
    x = torch.tensor([[[[0.9, -0.5]]]])
    drop = average_drop(mean_of_first_channel, x.relu() * 0 + x.abs(), torch.ones(1, 1, 1, 2), 0)
    assert drop.item() == 100  # a constant map keeps nothing
    gaining = average_drop(
        lambda x: 1 - mean_of_first_channel(x),
        torch.full((1, 1, 2, 2), 0.5),
        torch.eye(2)[None, None],
        0,
    )
    assert gaining.item() == 0


def test_additional_forward_args_and_list_targets():
    x = torch.full((2, 1, 2, 2), 0.4)
    maps = torch.eye(2).expand(2, 1, 2, 2)
    drop = average_drop(mean_of_first_channel, x, maps, target=[0, 1], additional_forward_args=0.2)
    # 0.6 falls to 0.2 + 0.2; class 1 has probability 0.
    torch.testing.assert_close(drop, torch.tensor([100 / 3, 0.0]))


def test_masks_are_relu_then_upsampled_then_stretched():
    maps = torch.tensor([[[[-3.0, 1.0]], [[1.0, 2.0]]]])  # summed: -2, 3
    mask = explanation_mask(maps, torch.zeros(1, 3, 1, 4))
    # ReLU: 0, 3; bilinear to four: 0, .75, 2.25, 3.
    torch.testing.assert_close(mask, torch.tensor([[[[0.0, 0.25, 0.75, 1.0]]]]))


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0])
def test_constant_maps_keep_nothing(value):
    mask = explanation_mask(torch.full((2, 1, 3, 3), value), torch.zeros(2, 1, 6, 6))
    assert (mask == 0).all()


def test_logits_are_refused_and_probabilities_taken():
    net, x = GapLinear().double(), 9 * images()
    maps = torch.rand(3, 1, 2, 2)
    with pytest.raises(ValueError, match=r"probabilities.*scores.probability"):
        average_drop(net, x, maps, target=0)
    drop = average_drop(probability(net), x, maps, target=0)
    assert ((drop >= 0) & (drop <= 100)).all()


@pytest.mark.parametrize("shape", [(2, 1, 2, 2), (3, 1, 2), (3, 2)])
def test_maps_must_fit_the_inputs(shape):
    with pytest.raises(ValueError, match="do not fit inputs"):
        average_drop(mean_of_first_channel, torch.zeros(3, 1, 4, 4), torch.zeros(shape), 0)
