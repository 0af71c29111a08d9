import pytest
import torch

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
