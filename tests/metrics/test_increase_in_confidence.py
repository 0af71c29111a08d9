from functools import partial

import numpy as np
import pytest
import torch
from nets import GapLinear
from toys import batch, brightness, classifier, fake_cam

from captum_clustered.metrics import increase_in_confidence
from captum_clustered.scores import probability


def test_increase_by_hand():
    x = torch.tensor([[[[0.4, 0.8]]], [[[0.4, 0.8]]], [[[0.4, 0.4]]]])
    maps = torch.tensor([[[[1.0, 0.0]]], [[[0.0, 1.0]]], [[[0.0, 1.0]]]])
    # p is .6, .6, .4; o is .5, .7, .5; with a filling of .4 it is .4, .6, .4.
    increase = increase_in_confidence(brightness, x, maps, 0, filling=0.6)
    assert increase.tolist() == [0, 100, 100]
    equal = increase_in_confidence(brightness, x, maps, 0, filling=0.4)
    assert equal.tolist() == [0, 0, 0]
    assert increase_in_confidence(brightness, x, maps, 0, filling=1, keep=0).tolist() == [100] * 3


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_maps_leave_the_filling(value):
    x = torch.full((1, 1, 2, 2), 0.5)
    maps = torch.full_like(x, value)
    assert increase_in_confidence(brightness, x, maps, 0).item() == 0
    assert increase_in_confidence(brightness, x, maps, 0, filling=0.6).item() == 100


def test_it_does_not_see_by_how_much():
    x = torch.full((1, 1, 16, 16), 0.5)
    assert increase_in_confidence(lambda x: 1 - brightness(x), x, fake_cam(x), 0).item() == 100


def test_equals_torchcam():
    methods = pytest.importorskip("torchcam.methods", reason="torchcam is an optional peer")
    metrics = pytest.importorskip("torchcam.metrics", reason="torchcam is an optional peer")
    net, (x, _) = GapLinear().float(), batch(n=8, dtype=torch.float32)
    target = [0, 1, 2, 0, 1, 2, 0, 1]
    with methods.GradCAM(net, "relu", input_shape=(2, 6, 5)) as extractor:
        (maps,) = extractor(target, net(x).softmax(1))  # as the metric will
        metric = metrics.ClassificationMetric(extractor, partial(torch.softmax, dim=-1))
        metric.update(x, target)
    increase = increase_in_confidence(probability(net), x, maps[:, None], target)
    assert set(increase.tolist()) == {0, 100}
    assert increase.mean().item() == pytest.approx(100 * metric.summary()["conf_increase"])


def test_equals_pytorch_grad_cam():
    reason = "pytorch-grad-cam is an optional peer"
    peer = pytest.importorskip(
        "pytorch_grad_cam.metrics.cam_mult_image", reason=reason, exc_type=ImportError
    )
    targets = pytest.importorskip(
        "pytorch_grad_cam.utils.model_targets", reason=reason, exc_type=ImportError
    )
    forward, (x, maps) = classifier(), batch(n=8)
    maps = (maps - maps.amin((2, 3), True)) / (maps.amax((2, 3), True) - maps.amin((2, 3), True))
    target = [0, 1, 2, 0, 1, 2, 0, 1]
    categories = [targets.ClassifierOutputTarget(i) for i in target]
    expected = peer.IncreaseInConfidence()(x, maps[:, 0].numpy(), categories, forward)
    found = increase_in_confidence(forward, x, maps, target)
    assert set(found.tolist()) == {0, 100}
    np.testing.assert_array_equal(found / 100, expected)
