import pytest
import torch

from captum_clustered.metrics import deletion_curve
from captum_clustered.metrics.perturbation_curve import area_under, pixel_counts


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
