import numpy as np
import pytest
import torch
from nets import images
from toys import batch, brightness, classifier, one_by_one

from captum_clustered.metrics import road
from captum_clustered.metrics.road import LinearImputation


def test_road_by_hand():
    x = torch.tensor([[[[0.0, 0.2, 1.0]]]])
    maps = x
    arguments = (brightness, x, maps, 0)
    # The last pixel becomes its neighbor, 0.2; the first does as well.
    most = road(*arguments, shares=[1 / 3], noise=0, order="morf")
    least = road(*arguments, shares=[1 / 3], noise=0, order="lerf")
    assert most.item() == pytest.approx(-0.8 / 3)
    assert least.item() == pytest.approx(0.2 / 3)
    assert road(*arguments, shares=[1 / 3], noise=0).item() == pytest.approx(1 / 6)
    # Two pixels removed: the image is 0 or 1 throughout.
    assert road(*arguments, shares=[2 / 3], noise=0).item() == pytest.approx(0.5)
    assert road(*arguments, shares=(1 / 3, 2 / 3), noise=0).item() == pytest.approx(1 / 3)


def test_equals_pytorch_grad_cam(monkeypatch):
    reason = "pytorch-grad-cam is an optional peer"
    peer = pytest.importorskip("pytorch_grad_cam.metrics.road", reason=reason, exc_type=ImportError)
    targets = pytest.importorskip(
        "pytorch_grad_cam.utils.model_targets", reason=reason, exc_type=ImportError
    )
    # Its noise cannot be switched off otherwise.
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    # A number of pixels divisible by five: thresholds and shares then mean the same ones.
    forward, (x, maps) = classifier(dtype=torch.float32), batch((10, 8), dtype=torch.float32)
    categories = [targets.ClassifierOutputTarget(1)] * 3
    percentiles = [20, 40, 60, 80]
    for order, metric in (
        ("combined", peer.ROADCombined),
        ("morf", peer.ROADMostRelevantFirstAverage),
        ("lerf", peer.ROADLeastRelevantFirstAverage),
    ):
        expected = metric(percentiles)(x, maps[:, 0].numpy(), categories, forward)
        found = road(forward, x, maps, 1, noise=0, order=order)
        assert found.abs().max() > 1e-2
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_constant_maps_have_none(value):
    x, maps = batch()
    assert (road(classifier(), x, torch.full_like(maps, value), 1) == 0).all()


def test_the_noise_is_seeded_and_private():
    forward, (x, maps) = classifier(), batch()
    state = torch.get_rng_state()
    first, again, other, none = (
        road(forward, x, maps, 1, **options)
        for options in ({}, {"seed": 0}, {"seed": 1}, {"noise": 0})
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert (first != other).all()
    torch.testing.assert_close(first, none, atol=0.01, rtol=0)


def test_the_noise_is_on_removed_pixels_alone():
    seen = []

    def forward(x):
        seen.append(x)
        return brightness(x.clamp(0, 1))

    x, maps = torch.full((1, 1, 10, 10), 0.5), torch.arange(100.0).view(1, 1, 10, 10)
    road(forward, x, maps, 0, shares=[0.2], order="morf")
    changed = (seen[0] - x).flatten()
    assert (changed[:80] == 0).all()
    assert 0.005 < changed[80:].std() < 0.015


def test_neither_the_batch_nor_its_size_makes_a_difference():
    x, maps = batch()
    whole = road(classifier(), x, maps, [0, 1, 2])
    for limit in (1, 5, 1000):
        chunked = road(classifier(), x, maps, [0, 1, 2], max_examples_per_batch=limit)
        torch.testing.assert_close(chunked, whole, rtol=1e-10, atol=1e-14)
    single = one_by_one(
        lambda x, maps, target: road(classifier(), x, maps, target), x, maps, target=[0, 1, 2]
    )
    torch.testing.assert_close(single, whole, rtol=1e-10, atol=1e-14)


def test_the_images_own_map_wins():
    x = torch.full((1, 1, 12, 12), 0.1)
    x[..., 4:8, 4:8] = 1
    own = road(brightness, x, x, 0, noise=0)
    assert own > 0.1
    assert road(brightness, x, 1 - x, 0, noise=0) < -0.1


@pytest.mark.parametrize("shares", [(), (0,), (1,), (0.5, 1.2), (0.99,), (float("nan"),)])
def test_shares_leave_a_pixel(shares):
    x, maps = batch()
    message = "shares=.* must be at least one share between 0 and 1"
    with pytest.raises(ValueError, match=message):
        road(classifier(), x, maps, 1, shares=shares)


def test_mistakes_name_the_argument():
    x, maps = batch()
    with pytest.raises(TypeError, match=r"shares=0\.5 must be a sequence"):
        road(classifier(), x, maps, 1, shares=0.5)
    with pytest.raises(ValueError, match="order='most' must be 'combined', 'morf' or 'lerf'"):
        road(classifier(), x, maps, 1, order="most")
    with pytest.raises(ValueError, match="noise=-1 must be a standard deviation"):
        road(classifier(), x, maps, 1, noise=-1)
    with pytest.raises(TypeError, match="inputs must be of a floating-point dtype"):
        road(classifier(), x.long(), maps, 1)
    for size in ((8,), (4, 3, 2)):
        volume = torch.rand(1, 2, *size)
        with pytest.raises(ValueError, match=r"road needs inputs of shape .* two-dimensional"):
            road(classifier(len(size)), volume, volume, 1)


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
def test_imputation_equals_pytorch_grad_cam(share):
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
