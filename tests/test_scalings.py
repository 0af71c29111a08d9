import pytest
import torch
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._scalings import SCALINGS, Scaling


@pytest.mark.parametrize(("scaling", "expected"), [("drop", [-3, 2]), ("density", [3, 2])])
def test_density_takes_magnitudes_and_drop_signs(scaling, expected):
    assert SCALINGS[scaling].channel_maps(torch.tensor([-3.0, 2.0])).tolist() == expected


def test_weights_by_hand():
    maps = torch.tensor([[[1.0, 1.0], [6.0, 0.0], [0.0, 0.0]]])
    labels, importances = torch.tensor([[0, 0, 1]]), torch.tensor([[8.0, 5.0]])
    drop, density = SCALINGS["drop"], SCALINGS["density"]
    # Mean activities 1 and 3: the first channel gets a quarter of its cluster's importance.
    # Mass 8 in the first cluster. None in the second, which then has no share.
    assert drop.channel_weights(maps, labels, importances).tolist() == [[2, 6, 0]]
    assert density.channel_weights(maps, labels, importances).tolist() == [[1, 1, 0]]


def test_drop_shares_by_the_activity_of_either_sign():
    maps = torch.tensor([[[1.0, -1.0], [-6.0, 0.0], [2.0, 2.0]]])
    labels, importances = torch.tensor([[0, 0, 1]]), torch.tensor([[8.0, -5.0]])
    weights = SCALINGS["drop"].channel_weights(maps, labels, importances)
    assert weights.tolist() == [[2, 6, -5]]


def test_idle_channels_in_a_large_cluster_do_not_count():
    # 800 channels of activity 1/1000 with a drop of 0.4, and one of activity 2 with a drop of 1.
    maps = torch.cat([torch.full((1, 800, 4), 1e-3), torch.full((1, 1, 4), 2.0)], 1)
    labels = torch.tensor([[0] * 800 + [1]])
    weights = SCALINGS["drop"].channel_weights(maps, labels, torch.tensor([[0.4, 1.0]]))
    attribution = (weights[..., None] * maps).sum((1, 2))
    # 800 * (0.4 / 800) * 1e-3 + 1 * 2 at each of four positions.
    torch.testing.assert_close(attribution, torch.tensor([4 * 2.0004]))


@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS.keys())
def test_additive_scalings_are_those_whose_maps_sum_to_the_importances(scaling):
    d = torch.tensor([[[1.0, -3.0], [2.0, 0.0], [5.0, 1.0]]])
    labels, importances = torch.tensor([[0, 0, 1]]), torch.tensor([[8.0, 5.0]])
    maps = scaling.channel_maps(d)
    weights = scaling.channel_weights(maps, labels, importances)
    sums_up = torch.isclose((weights[..., None] * maps).sum(), importances.sum())
    assert sums_up == scaling.is_additive


def test_a_new_scaling_needs_only_its_entry(monkeypatch):
    # The square of the difference, weighted by the importance.
    squares = Scaling(
        "squares",
        unit="score x activation^2",
        is_additive=False,
        channel_maps=torch.square,
        channel_weights=lambda maps, labels, importances: importances.gather(1, labels),
    )
    monkeypatch.setitem(SCALINGS, "squares", squares)
    layer, x = nn.Identity(), torch.tensor([[2.0, 3.0, 5.0]])[..., None, None]
    cam = ClusteredLayerCAM(
        lambda x: layer(x).sum((1, 2, 3)),
        layer,
        clusterer=torch.tensor([0, 1, 0]),
        scaling="squares",
    )
    # Drops 2 + 5 and 3.
    assert cam.attribute(x, attr_dim_summation=False).flatten().tolist() == [28, 27, 175]
    with pytest.raises(ValueError, match="needs scaling='density': with scaling='squares'"):
        cam.attribute(x, return_convergence_delta=True)
    with pytest.raises(ValueError, match="must be 'density' or 'drop' or 'squares'"):
        ClusteredLayerCAM(layer, layer, scaling="cubes")
