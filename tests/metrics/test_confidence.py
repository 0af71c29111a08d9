import pytest
import torch
from toys import brightness

from captum_clustered.metrics._confidence import confidence, confidence_of_variants


def test_targets_and_arguments_follow_their_examples():
    x = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1, 1)
    seen = []

    def forward(x, per_example, shared, word):
        seen.append(len(x))
        assert word == "word"
        p = x.flatten() + per_example + shared.sum()
        return torch.stack([p, p / 2], 1)

    arguments = (torch.tensor([0.0, 0.1, 0.2]), torch.full((2,), 0.05), "word")
    expected = torch.tensor([[0.2, 0.3], [0.2, 0.25], [0.6, 0.7]])
    for target in ([0, 1, 0], torch.tensor([0, 1, 0])):
        for limit in (None, 1, 4, 100):
            seen.clear()
            found = confidence_of_variants(
                forward,
                x,
                target,
                arguments,
                lambda examples, variants: x[examples] + 0.1 * variants.view(-1, 1, 1, 1),
                2,
                limit,
            )
            torch.testing.assert_close(found, expected)
            assert seen == {None: [6], 1: [1] * 6, 4: [4, 2], 100: [6]}[limit]


@pytest.mark.parametrize("target", [0, torch.tensor(0), torch.tensor([0])])
def test_one_target_for_all(target):
    x = torch.full((3, 1, 2, 2), 0.25)
    assert confidence(brightness, x, target).tolist() == [0.25] * 3
    found = confidence_of_variants(brightness, x, target, None, lambda e, v: x[e], 2, 4)
    assert found.tolist() == [[0.25] * 2] * 3


def test_rounding_above_one_is_cut_off():
    assert confidence(brightness, torch.full((1, 1, 1, 1), 1.0005), 0).item() == 1


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_no_probabilities(value):
    x = torch.tensor([0.5, value]).view(2, 1, 1, 1)
    with pytest.raises(ValueError, match=r"must return probabilities.*scores.probability"):
        confidence(brightness, x, 0)


@pytest.mark.parametrize("output", [None, "0.5", torch.full((1, 2), 0.5j), torch.zeros(1, 0)])
def test_no_numbers(output):
    with pytest.raises(ValueError, match="must return probabilities"):
        confidence(lambda x: output, torch.zeros(1, 1, 2, 2), 0)


def test_one_probability_for_each_example():
    with pytest.raises(ValueError, match=r"one score for each of the 3 examples.*target missing"):
        confidence(brightness, torch.zeros(3, 1, 2, 2))


@pytest.mark.parametrize("target", [[0, 1], torch.tensor([0, 1]), [0] * 4])
def test_as_many_targets_as_examples(target):
    x = torch.zeros(3, 1, 2, 2)
    with pytest.raises(ValueError, match=r"target has \d entries, but inputs has 3 examples"):
        confidence(brightness, x, target)
    with pytest.raises(ValueError, match=r"target has \d entries, but inputs has 3 examples"):
        confidence_of_variants(brightness, x, target, None, lambda e, v: x[e], 2)


@pytest.mark.parametrize("limit", [0, -1, 2.5, True])
def test_the_limit_is_positive(limit):
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match=r"max_examples_per_batch=.*at least 1"):
        confidence_of_variants(brightness, x, 0, None, lambda e, v: x[e], 2, limit)
