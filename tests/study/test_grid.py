import pytest
import torch
from made_up import data, networks
from nets import Interacting
from study import grid


def test_a_variants_name_in_stored_results_has_its_settings():
    names = {
        method.__qualname__
        for method in (
            grid.clustered(),
            grid.clustered(clusterer=5),
            grid.clustered(grid.PositiveClusters, clusterer=5),
            grid.clustered(clusterer=torch.tensor([0, 1])),
            grid.clustered(clusterer=torch.tensor([1, 0])),
        )
    }
    assert len(names) == 5


@pytest.mark.usefixtures("small_inputs")
def test_the_grid_prints_differences_and_stability(tmp_path, capsys, monkeypatch):
    networks(tmp_path / "models")
    root = data(tmp_path, n_train=2, n_val=8)
    asked = []

    def few(fit, n_channels):
        asked.append((fit(3).max().item() < 3, n_channels))
        return {"density": grid.clustered(scaling="density")}

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
    assert grid.DEFAULT in made


@pytest.mark.usefixtures("small_inputs")
def test_a_variant_that_is_not_there_is_named_with_those_that_are(tmp_path):
    networks(tmp_path / "models")
    root = data(tmp_path, n_train=2, n_val=8)
    arguments = ["--data", str(root), "--models", str(tmp_path / "models"), "--fit-images", "2"]
    arguments += ["--out", str(tmp_path / "out"), "--limit", "2", "--variants", "denisty"]
    with pytest.raises(SystemExit, match=r"--variants has \['denisty'\]; there are .*'density'"):
        grid.main(arguments)
