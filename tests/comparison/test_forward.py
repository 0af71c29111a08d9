import pytest
import torch
from nets import MlpHead, images

from captum_clustered import scores
from captum_clustered.comparison.forward import CountedForward, Remembered
from captum_clustered.scores import model_of


def test_counted_forward_counts_and_is_seen_through():
    net = MlpHead()
    counted = CountedForward(scores.margin(net))
    x = images(3, dtype=torch.float32)
    torch.testing.assert_close(counted(x), scores.margin(net)(x))
    counted(x[:1])
    assert counted.n_examples == 4
    assert model_of(counted) is net


def test_remembered_runs_once_for_the_same_values():
    calls = []

    def function(x, target=None):
        calls.append(x)
        return x.sum(1) + (0 if target is None else target)

    remembered = Remembered(function, limit=2)
    x = torch.ones(2, 3)
    assert remembered(x).tolist() == remembered(x.clone()).tolist() == [3, 3]
    assert len(calls) == 1
    assert remembered(x, target=torch.tensor([1, 2])).tolist() == [4, 5]
    assert remembered(x, target=torch.tensor([2, 2])).tolist() == [5, 5]
    assert len(calls) == 3
    many = torch.ones(3, 3)
    remembered(many)
    remembered(many)
    assert len(calls) == 5


@pytest.mark.parametrize("inputs", [(torch.zeros(2, 2),), None])
def test_counting_what_is_no_tensor(inputs):
    counted = CountedForward(lambda x: torch.zeros(1, 2))
    counted(inputs)
    assert counted.n_examples == 0
