from functools import partial

import pytest
import torch
from nets import GapLinear
from sklearn.metrics import auc
from toys import batch, brightness, classifier

from captum_clustered.metrics import deletion, deletion_curve
from captum_clustered.scores import probability


def test_curve_by_hand():
    x = torch.tensor([[[[0.4, 0.8], [0.0, 0.4]]]])
    maps = torch.tensor([[[[2.0, 3.0], [1.0, 0.0]]]])
    curve = deletion_curve(brightness, x, maps, 0, n_steps=4)
    torch.testing.assert_close(curve, torch.tensor([[0.4, 0.2, 0.1, 0.1, 0.0]]))
    area = deletion(brightness, x, maps, 0, n_steps=4)
    torch.testing.assert_close(area, torch.tensor([0.15]))
    to_one = deletion_curve(brightness, x, maps, 0, n_steps=2, filling=1)
    torch.testing.assert_close(to_one, torch.tensor([[0.4, 0.6, 1.0]]))


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_constant_maps_delete_in_reading_order(value):
    x = torch.tensor([[[[0.4, 0.8], [0.0, 0.4]]]])
    curve = deletion_curve(brightness, x, torch.full_like(x, value), 0, n_steps=4)
    torch.testing.assert_close(curve, torch.tensor([[0.4, 0.3, 0.1, 0.1, 0.0]]))


def test_area_equals_scikit_learn():
    x, maps = batch()
    curve = deletion_curve(classifier(), x, maps, 1, n_steps=10)  # 30 pixels
    area = deletion(classifier(), x, maps, 1, n_steps=10)
    expected = [auc(torch.linspace(0, 1, 11), points) for points in curve]
    assert area.tolist() == pytest.approx(expected, rel=1e-6)
    assert ((area > 0) & (area < 1)).all()


def test_equals_torchcam():
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


def test_it_ends_in_the_filling():
    x, maps = batch()
    curve = deletion_curve(classifier(), x, maps, 1, filling="mean")
    torch.testing.assert_close(curve[:, 0], classifier()(x)[:, 1].detach())
    mean = x.mean((2, 3), keepdim=True).expand_as(x)
    torch.testing.assert_close(curve[:, -1], classifier()(mean)[:, 1].detach())


def test_the_batch_size_makes_no_difference():
    x, maps = batch()
    arguments = (classifier(), x, maps, [0, 1, 2])
    whole = deletion_curve(*arguments)
    for limit in (1, 4, 1000):
        torch.testing.assert_close(
            deletion_curve(*arguments, max_examples_per_batch=limit), whole, rtol=1e-10, atol=0
        )
