import pytest
import torch
from toys import batch, brightness, classifier, fake_cam

from captum_clustered.metrics import average_drop, average_gain


def darkness(x):
    return 1 - brightness(x)


def test_gain_by_hand():
    x = torch.tensor([0.8, 0.8, 0.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    maps = torch.tensor(
        [[[[2.0, 1.0], [1.0, 1.0]]], [[[4.0, 2.0], [2.0, 0.0]]], [[[1, 0], [0, 0]]]]
    )
    # The darkness is .2, .2 and 1, that of the explanations .8, .6 and 1; 0 / 0 is no gain.
    gain = average_gain(darkness, x, maps, target=0)
    torch.testing.assert_close(gain, torch.tensor([75.0, 50.0, 0.0]))


def test_a_drop_is_no_gain():
    x = torch.full((1, 1, 2, 2), 0.5)
    assert average_gain(brightness, x, torch.eye(2)[None, None], 0).item() == 0


def test_an_example_has_a_drop_or_a_gain():
    x, maps = batch(n=8)
    for filling in (0.0, "mean", "blur"):
        drop, gain = (
            metric(classifier(), x, maps, [0, 1, 2, 0, 1, 2, 0, 1], filling=filling)
            for metric in (average_drop, average_gain)
        )
        assert (drop > 0).any()
        assert (gain > 0).any()
        assert (drop * gain == 0).all()


def test_filling_and_keep():
    x = torch.tensor([[[[0.4, 0.8]]]])
    maps = torch.tensor([[[[1.0, 0.0]]]])
    # From 0.6 to (0.4 + 1) / 2.
    assert average_gain(brightness, x, maps, 0, filling=1).item() == pytest.approx(25)
    assert average_gain(brightness, x, maps, 0, filling=1, keep=0).item() == pytest.approx(100)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_maps_gain_what_the_filling_gives(value):
    x = torch.full((1, 1, 2, 2), 0.5)
    assert average_gain(darkness, x, torch.full_like(x, value), 0).item() == 100
    assert average_gain(brightness, x, torch.full_like(x, value), 0).item() == 0


def test_a_fake_cam_gains_next_to_nothing():
    x = torch.full((1, 1, 16, 16), 0.5)
    assert 0 < average_gain(darkness, x, fake_cam(x), 0).item() < 1
