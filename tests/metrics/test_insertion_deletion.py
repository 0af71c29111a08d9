from functools import partial

import pytest
import torch
from nets import GapLinear
from sklearn.metrics import auc
from toys import batch, brightness, classifier, fake_cam

from captum_clustered.metrics import (
    deletion,
    deletion_curve,
    insertion,
    insertion_curve,
    insertion_minus_deletion,
)
from captum_clustered.metrics._masking import gaussian_blur
from captum_clustered.metrics.insertion_deletion import area_under, pixel_counts
from captum_clustered.scores import probability


def test_curve_by_hand():
    x = torch.tensor([[[[0.4, 0.8], [0.0, 0.4]]]])
    maps = torch.tensor([[[[2.0, 3.0], [1.0, 0.0]]]])
    curve = insertion_curve(brightness, x, maps, 0, n_steps=4, baseline=0.0)
    torch.testing.assert_close(curve, torch.tensor([[0.0, 0.2, 0.3, 0.3, 0.4]]))
    area = insertion(brightness, x, maps, 0, n_steps=4, baseline=0.0)
    torch.testing.assert_close(area, torch.tensor([0.25]))


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_constant_maps_insert_in_reading_order(value):
    x = torch.tensor([[[[0.4, 0.8], [0.0, 0.4]]]])
    maps = torch.full_like(x, value)
    curve = insertion_curve(brightness, x, maps, 0, n_steps=4, baseline=0.0)
    torch.testing.assert_close(curve, torch.tensor([[0.0, 0.1, 0.3, 0.3, 0.4]]))


def test_from_blur_to_the_input():
    x, maps = batch((30, 30))
    curve = insertion_curve(classifier(), x, maps, 1)
    assert curve.shape == (3, 21)
    ends = torch.stack([gaussian_blur(x), x])
    expected = torch.stack([classifier()(end)[:, 1] for end in ends], 1).detach()
    torch.testing.assert_close(curve[:, [0, -1]], expected)


def test_area_equals_scikit_learn():
    x, maps = batch()
    curve = insertion_curve(classifier(), x, maps, 1, n_steps=10)  # 30 pixels
    area = insertion(classifier(), x, maps, 1, n_steps=10)
    expected = [auc(torch.linspace(0, 1, 11), points) for points in curve]
    assert area.tolist() == pytest.approx(expected, rel=1e-6)


def test_equals_torchcam():
    methods = pytest.importorskip("torchcam.methods", reason="torchcam is an optional peer")
    metrics = pytest.importorskip("torchcam.metrics", reason="torchcam is an optional peer")
    if not hasattr(metrics, "DeletionInsertionMetric"):
        pytest.skip("this torchcam has no insertion")
    net, (x, _) = GapLinear().float(), batch((20, 20), dtype=torch.float32)
    target = [0, 1, 2]
    with methods.GradCAM(net, "relu", input_shape=(2, 20, 20)) as extractor:
        (maps,) = extractor(target, net(x).softmax(1))  # as the metric will
        softmax = partial(torch.softmax, dim=-1)
        metric = metrics.DeletionInsertionMetric(
            extractor, softmax, steps=10, baseline=gaussian_blur
        )
        metric.update(x, target)
    area = insertion(probability(net), x, maps[:, None], target, n_steps=10)
    assert area.mean().item() == pytest.approx(metric.summary()["insertion_auc"], rel=1e-5)


def test_the_difference_has_one_baseline():
    x, maps = batch()
    arguments = (classifier(), x, maps, 1)
    for baseline in ("blur", 0.0):
        difference = insertion_minus_deletion(*arguments, baseline=baseline)
        expected = insertion(*arguments, baseline=baseline) - deletion(
            *arguments, baseline=baseline
        )
        torch.testing.assert_close(difference, expected)
    default = insertion_minus_deletion(*arguments)
    torch.testing.assert_close(default, insertion_minus_deletion(*arguments, baseline="blur"))


def test_the_reverse_order_has_the_opposite_difference():
    x, maps = batch()
    forth, back = (
        insertion_minus_deletion(classifier(), x, order, 1, baseline=0.0, n_steps=10)
        for order in (maps, maps.max() - maps)
    )
    assert forth.abs().max() > 1e-3
    torch.testing.assert_close(forth, -back)


def test_keeping_everything_earns_nothing():
    x = torch.full((1, 1, 16, 16), 0.01)
    x[..., 4:9, 4:9] = 1
    fake, true_map = (
        insertion_minus_deletion(brightness, x, maps, 0, baseline=0.0)
        for maps in (fake_cam(x), (x == 1).float())
    )
    assert true_map > fake + 0.05


def test_the_batch_size_makes_no_difference():
    x, maps = batch()
    extra = torch.tensor([0.0, 0.1, 0.2])

    def forward(x, weight):
        return classifier()(x) * (1 - weight[:, None])

    for metric in (insertion_curve, deletion_curve, insertion, insertion_minus_deletion):
        whole = metric(forward, x, maps, [0, 1, 2], extra)
        for limit in (1, 4, 1000):
            chunked = metric(forward, x, maps, [0, 1, 2], extra, max_examples_per_batch=limit)
            torch.testing.assert_close(chunked, whole, rtol=1e-10, atol=1e-12)


def test_mistakes_name_the_argument():
    x, maps = batch()
    with pytest.raises(ValueError, match="n_steps=0"):
        insertion(classifier(), x, maps, 1, n_steps=0)
    with pytest.raises(ValueError, match="baseline='noise'"):
        insertion(classifier(), x, maps, 1, baseline="noise")
    with pytest.raises(ValueError, match="max_examples_per_batch=0"):
        insertion(classifier(), x, maps, 1, max_examples_per_batch=0)


def test_deletion_curve_by_hand():
    x = torch.tensor([[[[0.4, 0.8], [0.0, 0.4]]]])
    maps = torch.tensor([[[[2.0, 3.0], [1.0, 0.0]]]])
    curve = deletion_curve(brightness, x, maps, 0, n_steps=4)
    torch.testing.assert_close(curve, torch.tensor([[0.4, 0.2, 0.1, 0.1, 0.0]]))
    area = deletion(brightness, x, maps, 0, n_steps=4)
    torch.testing.assert_close(area, torch.tensor([0.15]))
    to_one = deletion_curve(brightness, x, maps, 0, n_steps=2, baseline=1)
    torch.testing.assert_close(to_one, torch.tensor([[0.4, 0.6, 1.0]]))


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_constant_maps_delete_in_reading_order(value):
    x = torch.tensor([[[[0.4, 0.8], [0.0, 0.4]]]])
    curve = deletion_curve(brightness, x, torch.full_like(x, value), 0, n_steps=4)
    torch.testing.assert_close(curve, torch.tensor([[0.4, 0.3, 0.1, 0.1, 0.0]]))


def test_deletion_area_equals_scikit_learn():
    x, maps = batch()
    curve = deletion_curve(classifier(), x, maps, 1, n_steps=10)  # 30 pixels
    area = deletion(classifier(), x, maps, 1, n_steps=10)
    expected = [auc(torch.linspace(0, 1, 11), points) for points in curve]
    assert area.tolist() == pytest.approx(expected, rel=1e-6)
    assert ((area > 0) & (area < 1)).all()


def test_deletion_equals_torchcam():
    methods = pytest.importorskip("torchcam.methods", reason="torchcam is an optional peer")
    metrics = pytest.importorskip("torchcam.metrics", reason="torchcam is an optional peer")
    if not hasattr(metrics, "DeletionInsertionMetric"):
        pytest.skip("this torchcam has no deletion")
    net, (x, _) = GapLinear().float(), batch(dtype=torch.float32)
    target = [0, 1, 2]
    with methods.GradCAM(net, "relu", input_shape=(2, 6, 5)) as extractor:
        (maps,) = extractor(target, net(x).softmax(1))  # as the metric will
        softmax = partial(torch.softmax, dim=-1)
        metric = metrics.DeletionInsertionMetric(extractor, softmax, steps=10)
        metric.update(x, target)
    area = deletion(probability(net), x, maps[:, None], target, n_steps=10)
    assert area.mean().item() == pytest.approx(metric.summary()["deletion_auc"], rel=1e-5)


def test_it_ends_in_the_baseline():
    x, maps = batch()
    curve = deletion_curve(classifier(), x, maps, 1, baseline="mean")
    torch.testing.assert_close(curve[:, 0], classifier()(x)[:, 1].detach())
    mean = x.mean((2, 3), keepdim=True).expand_as(x)
    torch.testing.assert_close(curve[:, -1], classifier()(mean)[:, 1].detach())


def test_deletion_the_batch_size_makes_no_difference():
    x, maps = batch()
    arguments = (classifier(), x, maps, [0, 1, 2])
    whole = deletion_curve(*arguments)
    for limit in (1, 4, 1000):
        torch.testing.assert_close(
            deletion_curve(*arguments, max_examples_per_batch=limit), whole, rtol=1e-10, atol=0
        )


@pytest.mark.parametrize(
    ("n_pixels", "n_steps", "counts"),
    [
        (4, 2, [0, 2, 4]),
        (5, 2, [0, 3, 5]),  # half up
        (2, 4, [0, 1, 1, 2, 2]),  # more steps than pixels
        (7, 1, [0, 7]),
    ],
)
def test_counts_by_hand(n_pixels, n_steps, counts):
    assert pixel_counts(n_pixels, n_steps).tolist() == counts


@pytest.mark.parametrize("n_steps", [0, -1, 2.0, True])
def test_at_least_one_step(n_steps):
    with pytest.raises(ValueError, match=r"n_steps=.*at least 1"):
        pixel_counts(4, n_steps)


def test_areas_are_over_the_share_of_pixels_and_not_of_steps():
    curve = torch.tensor([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    # Steps end at 3/5 and 1.
    area = area_under(curve, torch.zeros(2, 1, 1, 5))
    torch.testing.assert_close(area, torch.tensor([0.3 + 0.4, 1.0]))


@pytest.mark.parametrize(("limit", "sizes"), [(None, [2, 4, 2]), (3, [2, 3, 1, 2]), (1, [1] * 8)])
def test_both_ends_are_evaluated_on_their_own(limit, sizes):
    x, seen = torch.rand(2, 1, 3, 3), []

    def half(inputs):
        seen.append(inputs)
        return torch.full((len(inputs), 2), 0.5)

    deletion_curve(half, x, torch.rand(2, 1, 3, 3), 0, n_steps=3, max_examples_per_batch=limit)
    assert [len(inputs) for inputs in seen] == sizes
    rows = torch.cat(seen)
    torch.testing.assert_close(rows[:2], x)
    assert not rows[-2:].any()


def test_one_step_has_ends_only():
    x = torch.rand(2, 1, 3, 3)
    curve = deletion_curve(lambda inputs: inputs.flatten(1), x, x, 0, n_steps=1)
    torch.testing.assert_close(curve, torch.stack([x[:, 0, 0, 0], torch.zeros(2)], 1))
