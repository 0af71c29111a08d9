import pytest
import torch
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._scalings import SCALINGS, Scaling


@pytest.mark.parametrize(("scaling", "expected"), [("drop", [-3, 2]), ("density", [3, 2])])
def test_density_takes_magnitudes_and_drop_signs(scaling, expected):
    assert SCALINGS[scaling].channel_maps(torch.tensor([-3.0, 2.0])).tolist() == expected


def test_weights_by_hand():
    maps = torch.tensor([[[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]]])
    labels, importances = torch.tensor([[0, 0, 1]]), torch.tensor([[8.0, 5.0]])
    drop, density = SCALINGS["drop"], SCALINGS["density"]
    assert drop.channel_weights(maps, labels, importances).tolist() == [[8, 8, 5]]
    # Mass 4 in the first cluster; none in the second, which then has no share.
    assert density.channel_weights(maps, labels, importances).tolist() == [[2, 2, 0]]


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
