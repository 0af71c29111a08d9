"""Bytes that can be counted by hand."""

import pytest
import torch

from captum_clustered.dataset_run.trial import CPU_BUDGET, choose_batch_size, default_budget

# 1,000 float32 numbers.
EXAMPLE = torch.zeros(1000)


def three_copies(inputs):
    """Has two tensors of the inputs' size at a time: 8,000 bytes for each image."""
    for _ in range(3):
        doubled = inputs * 2
        inputs = doubled + 1
    return inputs


@pytest.mark.parametrize(
    ("budget", "expected"),
    [(1, 1), (2 * 12_000 - 1, 1), (2 * 12_000, 2), (8 * 12_000, 8), (15 * 12_000, 8)],
)
def test_the_largest_power_of_two_that_fits(budget, expected):
    # At the peak: the last result, which is still there, and two new ones.
    assert choose_batch_size(three_copies, EXAMPLE, budget) == expected


def test_an_image_takes_at_least_its_input():
    assert choose_batch_size(lambda inputs: None, EXAMPLE, 4 * 4000) == 4


def test_there_is_an_end():
    assert choose_batch_size(three_copies, EXAMPLE, 10**12) == 64


def test_budget_of_a_cpu():
    assert default_budget(torch.device("cpu")) == CPU_BUDGET == 2**30
