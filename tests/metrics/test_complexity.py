import numpy as np
import pytest
import torch
from toys import batch, fake_cam

from captum_clustered.metrics import complexity


def test_complexity_by_hand():
    maps = torch.tensor([[[[4.0, 2.0], [2.0, 0.0]]], [[[-4.0, 2.0], [1.0, -1.0]]]])
    assert complexity(maps, torch.zeros(2, 3, 2, 2)).tolist() == [0.5, 0.375]


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_constant_maps_have_none(value):
    assert complexity(torch.full((2, 1, 2, 2), value), torch.zeros(2, 3, 4, 4)).tolist() == [0, 0]


def test_a_fake_cam_is_as_complex_as_can_be():
    x = torch.zeros(1, 1, 10, 10)
    assert complexity(fake_cam(x), x).item() == pytest.approx(0.99)


def test_equals_pytorch_grad_cam():
    peer = pytest.importorskip(
        "pytorch_grad_cam.metrics.arcc",
        reason="pytorch-grad-cam is an optional peer",
        exc_type=ImportError,
    )
    x, maps = batch()
    maps = (maps - maps.amin((2, 3), True)) / (maps.amax((2, 3), True) - maps.amin((2, 3), True))
    np.testing.assert_allclose(complexity(maps, x), peer.Complexity()(maps[:, 0].numpy()))
