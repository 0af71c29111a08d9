import torch
from made_up import data, networks
from nets import Interacting
from study import grid

from captum_clustered import ClusteredLayerCAM


def test_groups_that_speak_against_the_class_are_left_out():
    # Score 1 is -a: only the first channel matters, and it speaks against.
    net, labels = Interacting(), torch.tensor([0, 1])
    x = torch.rand(2, 2, 3, 4) + 0.5
    assert not grid.PositiveGroups(net, net.layer, clusterer=labels).attribute(x, target=1).any()
    # Score 0 is 4 a + 2 b + 2 a b: both speak for it.
    positive = grid.PositiveGroups(net, net.layer, clusterer=labels).attribute(x, target=0)
    expected = ClusteredLayerCAM(net, net.layer, clusterer=labels).attribute(x, target=0)
    torch.testing.assert_close(positive, expected)


def test_centred_rows_are_grouped_by_shape_and_not_by_level():
    ramp = torch.arange(6.0)
    rows = torch.stack([ramp, ramp + 100, -ramp, 50 - ramp])
    labels = grid.Centred(2)(rows).tolist()
    assert labels[0] == labels[1] != labels[2] == labels[3]


def test_a_variants_name_in_stored_results_has_its_settings():
    names = {
        method.__qualname__
        for method in (
            grid.clustered(),
            grid.clustered(clusterer=5),
            grid.clustered(grid.PositiveGroups, clusterer=5),
            grid.clustered(clusterer=torch.tensor([0, 1])),
            grid.clustered(clusterer=torch.tensor([1, 0])),
        )
    }
    assert len(names) == 5


def test_the_grid_prints_differences_and_stability(tmp_path, capsys, monkeypatch):
    networks(tmp_path / "models")
    root = data(tmp_path, n_train=2, n_val=8)
    asked = []

    def few(fit, n_channels):
        asked.append((fit(3).max().item() < 3, n_channels))
        return {"drop": grid.clustered(scaling="drop")}

    monkeypatch.setattr(grid, "variants", few)
    arguments = ["--data", str(root), "--models", str(tmp_path / "models")]
    arguments += ["--out", str(tmp_path / "out"), "--limit", "2", "--heads", "linear"]
    grid.main(arguments)
    printed = capsys.readouterr().out
    assert asked == [(True, 1280)]
    assert "# linear head, score margin" in printed
    assert "Difference to LayerGradCam" in printed
    assert "max-sensitivity as a multiple of LayerGradCam" in printed
    assert (tmp_path / "out" / "linear" / "grid.md").read_text().strip() in printed


def test_every_variant_can_be_made():
    net = Interacting()
    made = grid.variants(lambda k: torch.arange(1280) % k, 1280)
    for factory in made.values():
        assert factory(net, net.layer).layer is net.layer
    assert "default (k-means 10, density, ablation)" in made
