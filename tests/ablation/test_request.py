import pytest
import torch

from captum_clustered._ablation.request import format_inputs, per_example, target_scores

LOGITS = torch.tensor([[1.0, 3.0, 2.0], [0.0, -1.0, 4.0]])


@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 1, 1)])
def test_one_score_for_each_example(shape):
    assert per_example(torch.tensor([1.0, 2.0]).view(shape), 2).tolist() == [1, 2]


def test_a_scalar_is_the_score_of_a_single_example():
    assert per_example(torch.tensor(3.0), 1).tolist() == [3]
    with pytest.raises(ValueError, match="reduce over the batch"):
        per_example(torch.tensor(3.0), 2)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.int64, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_scores_are_at_least_float32(dtype, expected):
    assert per_example(torch.ones(2, dtype=dtype), 2).dtype == expected


@pytest.mark.parametrize("shape", [(3,), (1, 2), (2, 3), (2, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"got shape \("):
        per_example(torch.ones(shape), 2)


@pytest.mark.parametrize("output", [torch.ones(2, dtype=torch.complex64), [1.0, 2.0]])
def test_only_tensors_of_real_numbers_are_scores(output):
    with pytest.raises(TypeError, match="tensor of real numbers"):
        per_example(output, 2)


def test_the_target_selects_the_score():
    inputs = (torch.zeros(2, 1),)
    assert target_scores(lambda x: LOGITS, inputs, [1, 2], None).tolist() == [3, 4]
    assert target_scores(lambda x, k: LOGITS * k, inputs, 0, 10).tolist() == [10, 0]
    with pytest.raises(ValueError, match="target=3 does not fit"):
        target_scores(lambda x: LOGITS, inputs, 3, None)
    with pytest.raises(TypeError, match="must return a tensor; got dict"):
        target_scores(lambda x: {"out": LOGITS}, inputs, 0, None)


def test_inputs_are_tensors_with_at_least_one_example():
    x = torch.ones(2, 1)
    assert format_inputs(x) == (x,)
    assert format_inputs((x, x)) == (x, x)
    for wrong in (torch.ones(0, 1), torch.tensor(1.0), ()):
        with pytest.raises(ValueError, match="at least one example"):
            format_inputs(wrong)
    with pytest.raises(TypeError, match="got list"):
        format_inputs([x])
