import numpy as np
import pytest
import torch
from nets import images

from captum_clustered.metrics.imputation import LinearImputation


def removed_at(size, *places):
    removed = torch.zeros(size, dtype=torch.bool)
    for place in places:
        removed[place] = True
    return removed


def test_one_pixel_by_hand():
    image = torch.tensor([[[1.0, 2.0, 4.0], [8.0, 100.0, 16.0], [32.0, 64.0, 128.0]]])
    impute = LinearImputation(3, 3)
    center = impute(image, removed_at((3, 3), (1, 1)))
    assert center[0, 1, 1].item() == pytest.approx((1 + 4 + 32 + 128) / 12 + (2 + 8 + 16 + 64) / 6)
    # In a corner three neighbors are left, of weights 2, 2 and 1.
    corner = impute(image, removed_at((3, 3), (0, 0)))
    assert corner[0, 0, 0].item() == pytest.approx((2 * 2 + 2 * 8 + 100) / 5)
    assert (corner != image).sum() == 1


def test_neighbors_that_are_removed_as_well():
    image = torch.tensor([[[0.0, 7.0, 7.0, 6.0]]])
    imputed = LinearImputation(1, 4)(image, removed_at((1, 4), (0, 1), (0, 2)))
    torch.testing.assert_close(imputed, torch.tensor([[[0.0, 2.0, 4.0, 6.0]]]))


def test_nothing_removed_and_all_but_one():
    image = images(1)[0]
    impute = LinearImputation(6, 5)
    assert torch.equal(impute(image, torch.zeros(6, 5, dtype=torch.bool)), image)
    imputed = impute(image, ~removed_at((6, 5), (2, 3)))
    torch.testing.assert_close(imputed, image[:, 2:3, 3:4].expand_as(image))


def test_dtype_is_kept():
    image = torch.ones(1, 2, 2, dtype=torch.bfloat16)
    assert LinearImputation(2, 2)(image, removed_at((2, 2), (0, 0))).dtype == torch.bfloat16


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_equals_pytorch_grad_cam(share):
    peer = pytest.importorskip(
        "pytorch_grad_cam.metrics.road",
        reason="pytorch-grad-cam is an optional peer",
        exc_type=ImportError,
    )
    image = images(1, size=(9, 7), dtype=torch.float32)[0]
    removed = (images(1, 1, (9, 7), seed=2).flatten().argsort() < share * 63).view(9, 7)
    expected = peer.NoisyLinearImputer(noise=0.0)(image, (~removed).float())
    found = LinearImputation(9, 7)(image, removed)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
