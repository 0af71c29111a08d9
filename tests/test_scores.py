import pickle

import numpy as np
import pytest
import torch
from nets import GapLinear, MlpHead, images

from captum_clustered import ClusteredLayerCAM, scores

SCORE_FUNCTIONS = [scores.probability, scores.log_probability, scores.margin, scores.sigmoid]
LOGITS = torch.tensor([[1.0, 3.0, 2.0], [0.0, -1.0, 4.0]])


def identity(logits):
    return logits


def test_probability_and_log_probability_by_hand():
    p = scores.probability(identity)(LOGITS)
    expected = torch.tensor([[0.0900, 0.6652, 0.2447], [0.0179, 0.0066, 0.9756]])
    torch.testing.assert_close(p, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(scores.log_probability(identity)(LOGITS).exp(), p)


def test_margin_is_the_distance_to_the_best_other_class():
    expected = torch.tensor([[-2.0, 1.0, -1.0], [-4.0, -5.0, 4.0]])
    assert torch.equal(scores.margin(identity)(LOGITS), expected)
    ties = scores.margin(identity)(torch.tensor([[2.0, 2.0, 0.0]]))
    assert torch.equal(ties, torch.tensor([[0.0, 0.0, -2.0]]))


def test_margin_of_two_classes_is_the_difference_of_their_logits():
    logits = torch.tensor([[1.5, -0.5]])
    assert torch.equal(scores.margin(identity)(logits), torch.tensor([[2.0, -2.0]]))


def test_the_sigmoid_is_the_probability_of_each_class_by_itself():
    expected = 1 / (1 + np.exp(-LOGITS.numpy()))
    np.testing.assert_allclose(scores.sigmoid(identity)(LOGITS), expected, rtol=1e-6)


@pytest.mark.parametrize("score", SCORE_FUNCTIONS)
def test_classes_are_dimension_one_of_maps_too(score):
    maps = LOGITS.view(2, 3, 1, 1).repeat(1, 1, 2, 2)
    torch.testing.assert_close(score(identity)(maps)[:, :, 0, 1], score(identity)(LOGITS))


@pytest.mark.parametrize("score", SCORE_FUNCTIONS)
def test_drops_are_those_of_the_score_in_a_single_pass(score, recwarn):
    net, x = MlpHead().double(), images()
    cam = ClusteredLayerCAM(score(net), net.conv, clusterer=3)
    _, clusters = cam.attribute(x, [0, 1, 2], return_clusters=True)
    expected = score(net)(x).diagonal()
    torch.testing.assert_close(clusters.score, expected.detach())
    assert not len(recwarn)


def test_arguments_are_passed_on():
    wrapped = scores.probability(lambda x, scale, shift=0: x * scale + shift)
    expected = scores.probability(identity)(LOGITS * 2 + 1)
    assert torch.equal(wrapped(LOGITS, 2, shift=1), expected)


def test_a_single_logit_has_two_classes():
    z = torch.tensor([[2.0], [-0.5]])
    p = 1 / (1 + torch.exp(-z))
    expected = {
        "logit": torch.cat([-z, z], 1),
        "margin": torch.cat([-z, z], 1),
        "probability": torch.cat([1 - p, p], 1),
        "log_probability": torch.cat([1 - p, p], 1).log(),
        "sigmoid": torch.cat([1 - p, p], 1),
    }
    for name, score in scores.SCORES.items():
        torch.testing.assert_close(score.wrap(identity)(z), expected[name])
    maps = z.view(2, 1, 1, 1).expand(2, 1, 3, 4)
    assert scores.probability(identity)(maps).shape == (2, 2, 3, 4)


def test_the_score_logit_changes_nothing_else():
    net, x = GapLinear(), images(dtype=torch.float32)
    assert torch.equal(scores.SCORES["logit"].wrap(net)(x), net(x))
    assert scores.SCORES["logit"].wrap(lambda x: {"out": x})(x) == {"out": x}


@pytest.mark.parametrize("output", [torch.zeros(3), torch.zeros(3, 0), {"out": 1}])
def test_without_classes_there_is_no_probability(output):
    with pytest.raises(ValueError, match=r"logits of shape \(N, n_classes"):
        scores.probability(lambda x: output)(LOGITS)


def test_wrappers_can_be_pickled_and_show_the_devices_of_data_parallel():
    copy = pickle.loads(pickle.dumps(scores.margin(GapLinear())))  # noqa: S301
    assert copy(images(dtype=torch.float32)).shape == (3, 3)
    parallel = torch.nn.DataParallel(GapLinear())
    assert scores.margin(parallel).device_ids == parallel.device_ids
