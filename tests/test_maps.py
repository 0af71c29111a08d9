import pytest
import torch

from captum_clustered._clustering.membership import channel_maps, channel_weights


def test_differences_of_half_precision_are_formed_in_float32():
    # bfloat16 has 8 significant bits: 255.75 is not one of its numbers.
    value = torch.tensor([[256.0]], dtype=torch.bfloat16)
    baseline = torch.tensor(0.25, dtype=torch.bfloat16)
    maps = channel_maps(value, baseline, "drop")
    assert maps.dtype == torch.float32
    assert maps.item() == 255.75


@pytest.mark.parametrize(("scaling", "sign"), [("drop", -1), ("density", 1)])
def test_density_takes_magnitudes_and_drop_signs(scaling, sign):
    maps = channel_maps(torch.tensor([[-2.0]]), torch.tensor(1.0), scaling)
    assert maps.item() == 3 * sign


def test_weights_by_hand():
    maps = torch.tensor([[[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]]])
    labels, importances = torch.tensor([[0, 0, 1]]), torch.tensor([[8.0, 5.0]])
    assert channel_weights(maps, labels, importances, "drop").tolist() == [[8, 8, 5]]
    # Mass 4 in the first cluster; none in the second, which then has no share.
    assert channel_weights(maps, labels, importances, "density").tolist() == [[2, 2, 0]]
