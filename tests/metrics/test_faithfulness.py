"""Average drop, average gain and increase in confidence."""

from functools import partial

import numpy as np
import pytest
import torch
from nets import GapLinear, images
from toys import batch, brightness, classifier, fake_cam

from captum_clustered.metrics import average_drop, average_gain, increase_in_confidence
from captum_clustered.scores import probability


def test_drop_by_hand():
    x = torch.full((3, 1, 2, 2), 0.8)
    x[2] = 0
    maps = torch.tensor(
        [[[[2.0, 1.0], [1.0, 1.0]]], [[[4.0, 2.0], [2.0, 0.0]]], [[[1, 0], [0, 0]]]]
    )
    # Masks: 1 0 / 0 0 keeps a quarter, 1 .5 / .5 0 a half; 0 / 0 is no drop.
    drop = average_drop(brightness, x, maps, target=0)
    torch.testing.assert_close(drop, torch.tensor([75.0, 50.0, 0.0]))


def test_a_gain_is_no_drop():
    x = torch.tensor([[[[0.9, 0.5]]]])
    drop = average_drop(brightness, x, torch.ones(1, 1, 1, 2), 0)
    assert drop.item() == 100  # a constant map keeps nothing
    gaining = average_drop(
        lambda x: 1 - brightness(x), torch.full((1, 1, 2, 2), 0.5), torch.eye(2)[None, None], 0
    )
    assert gaining.item() == 0


def test_additional_forward_args_and_list_targets():
    x = torch.full((2, 1, 2, 2), 0.4)
    maps = torch.eye(2).expand(2, 1, 2, 2)
    drop = average_drop(brightness, x, maps, target=[0, 1], additional_forward_args=0.2)
    # 0.6 falls to 0.2 + 0.2; class 1 has probability 0.
    torch.testing.assert_close(drop, torch.tensor([100 / 3, 0.0]))


@pytest.mark.parametrize(
    ("baseline", "left"),
    [
        (0.0, 0.8 / 4),
        (0.2, (0.8 + 3 * 0.2) / 4),
        ("mean", (0.8 + 3 * 0.5) / 4),
        (torch.tensor([[0.0, 0.4], [0.4, 0.4]]), (0.8 + 3 * 0.4) / 4),
    ],
)
def test_baselines_by_hand(baseline, left):
    x = torch.tensor([[[[0.8, 0.4], [0.4, 0.4]]]])
    maps = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    drop = average_drop(brightness, x, maps, 0, baseline=baseline)
    assert drop.item() == pytest.approx(max(0, 100 * (0.5 - left) / 0.5), abs=1e-5)


@pytest.mark.parametrize(
    ("top_fraction", "drop"), [(0, 100), (0.25, 60), (0.5, 30), (0.75, 10), (1, 0)]
)
def test_hard_masks_by_hand(top_fraction, drop):
    x = torch.tensor([[[[0.4, 0.3], [0.2, 0.1]]]])
    found = average_drop(brightness, x, x, 0, top_fraction=top_fraction)
    assert found.item() == pytest.approx(drop, abs=1e-4)


@pytest.mark.parametrize("top_fraction", [None, 0.5, 1])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_constant_maps_lose_all_that_the_baseline_does_not_give(value, top_fraction):
    x = torch.full((2, 1, 3, 3), 0.5)
    maps = torch.full_like(x, value)
    assert (average_drop(brightness, x, maps, 0, top_fraction=top_fraction) == 100).all()
    assert (
        average_drop(brightness, x, maps, 0, baseline=0.25, top_fraction=top_fraction) == 50
    ).all()


def test_a_fake_cam_wins_and_a_hard_mask_takes_that_from_it():
    # Poppi et al. 2021: of no use to anyone, and better than a map of the very object.
    x = torch.full((1, 1, 16, 16), 0.1)
    x[..., 4:9, 4:9] = 1
    true_map = (x == 1).float()
    fake = fake_cam(x)
    assert average_drop(brightness, x, fake, 0) < 1
    assert average_drop(brightness, x, true_map, 0) > 40
    lost, kept = (average_drop(brightness, x, m, 0, top_fraction=0.1) for m in (fake, true_map))
    assert lost > kept + 40


def test_logits_are_refused_and_probabilities_taken():
    net, x = GapLinear().double(), 9 * images()
    maps = torch.rand(3, 1, 2, 2)
    with pytest.raises(ValueError, match=r"probabilities.*scores.probability"):
        average_drop(net, x, maps, target=0)
    drop = average_drop(probability(net), x, maps, target=0)
    assert ((drop >= 0) & (drop <= 100)).all()


def test_equals_torchcam():
    methods = pytest.importorskip("torchcam.methods", reason="torchcam is an optional peer")
    metrics = pytest.importorskip("torchcam.metrics", reason="torchcam is an optional peer")
    net, (x, _) = GapLinear().float(), batch(dtype=torch.float32)
    target = [0, 1, 2]
    # A layer of the input's size: torchcam normalizes before it upsamples, we do after.
    with methods.GradCAM(net, "relu", input_shape=(2, 6, 5)) as extractor:
        (maps,) = extractor(target, net(x).softmax(1))  # as the metric will
        metric = metrics.ClassificationMetric(extractor, partial(torch.softmax, dim=-1))
        metric.update(x, target)
    drop = average_drop(probability(net), x, maps[:, None], target)
    assert drop.max() > 1
    assert drop.mean().item() == pytest.approx(100 * metric.summary()["avg_drop"], rel=1e-5)


def test_equals_pytorch_grad_cam_times_p():
    reason = "pytorch-grad-cam is an optional peer"
    peer = pytest.importorskip(
        "pytorch_grad_cam.metrics.cam_mult_image", reason=reason, exc_type=ImportError
    )
    targets = pytest.importorskip(
        "pytorch_grad_cam.utils.model_targets", reason=reason, exc_type=ImportError
    )
    forward, (x, maps) = classifier(), batch()
    maps = (maps - maps.amin((2, 3), True)) / (maps.amax((2, 3), True) - maps.amin((2, 3), True))
    target = [0, 1, 2]
    categories = [targets.ClassifierOutputTarget(i) for i in target]
    expected = peer.DropInConfidence()(x, maps[:, 0].numpy(), categories, forward)
    # It is the difference p - o, not the share of p.
    p = forward(x).gather(1, torch.tensor(target)[:, None])[:, 0]
    found = average_drop(forward, x, maps, target) * p / 100
    assert found.max() > 0.01
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-7)


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
    for baseline in (0.0, "mean", "blur"):
        drop, gain = (
            metric(classifier(), x, maps, [0, 1, 2, 0, 1, 2, 0, 1], baseline=baseline)
            for metric in (average_drop, average_gain)
        )
        assert (drop > 0).any()
        assert (gain > 0).any()
        assert (drop * gain == 0).all()


def test_baseline_and_keep():
    x = torch.tensor([[[[0.4, 0.8]]]])
    maps = torch.tensor([[[[1.0, 0.0]]]])
    # From 0.6 to (0.4 + 1) / 2.
    assert average_gain(brightness, x, maps, 0, baseline=1).item() == pytest.approx(25)
    assert average_gain(brightness, x, maps, 0, baseline=1, top_fraction=0).item() == pytest.approx(
        100
    )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_maps_gain_what_the_baseline_gives(value):
    x = torch.full((1, 1, 2, 2), 0.5)
    assert average_gain(darkness, x, torch.full_like(x, value), 0).item() == 100
    assert average_gain(brightness, x, torch.full_like(x, value), 0).item() == 0


def test_a_fake_cam_gains_next_to_nothing():
    x = torch.full((1, 1, 16, 16), 0.5)
    assert 0 < average_gain(darkness, x, fake_cam(x), 0).item() < 1


def test_increase_by_hand():
    x = torch.tensor([[[[0.4, 0.8]]], [[[0.4, 0.8]]], [[[0.4, 0.4]]]])
    maps = torch.tensor([[[[1.0, 0.0]]], [[[0.0, 1.0]]], [[[0.0, 1.0]]]])
    # p is .6, .6, .4; o is .5, .7, .5; with a baseline of .4 it is .4, .6, .4.
    increase = increase_in_confidence(brightness, x, maps, 0, baseline=0.6)
    assert increase.tolist() == [0, 100, 100]
    equal = increase_in_confidence(brightness, x, maps, 0, baseline=0.4)
    assert equal.tolist() == [0, 0, 0]
    assert (
        increase_in_confidence(brightness, x, maps, 0, baseline=1, top_fraction=0).tolist()
        == [100] * 3
    )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_maps_leave_the_baseline(value):
    x = torch.full((1, 1, 2, 2), 0.5)
    maps = torch.full_like(x, value)
    assert increase_in_confidence(brightness, x, maps, 0).item() == 0
    assert increase_in_confidence(brightness, x, maps, 0, baseline=0.6).item() == 100


def test_it_does_not_see_by_how_much():
    x = torch.full((1, 1, 16, 16), 0.5)
    assert increase_in_confidence(lambda x: 1 - brightness(x), x, fake_cam(x), 0).item() == 100


def test_increase_in_confidence_equals_torchcam():
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
