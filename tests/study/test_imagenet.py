import pandas as pd
import torch
from study import imagenet
from study.methods import FITTED


def test_crops_fit_the_network_and_know_their_photograph():
    found, owners = imagenet.inputs(2, seed=0, side=48)
    assert found.shape == (16, 3, 48, 48)
    assert owners[:3] == ["flower", "flower", "temple"]
    assert -1 <= found.min() < 0 < found.max() <= 1
    again, _ = imagenet.inputs(2, seed=0, side=48)
    other, _ = imagenet.inputs(2, seed=1, side=48)
    assert torch.equal(found, again)
    assert not torch.equal(found, other)


def test_from_end_to_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(imagenet, "NETWORKS", {"lite0": 64})
    monkeypatch.setattr(imagenet, "N_FIT", 2)
    monkeypatch.setattr(imagenet, "FIT_CLUSTERS", 5)
    methods = [FITTED, "AblationCAM, 2 views", "LayerGradCam"]
    arguments = ["--out", str(tmp_path), "--crops", "1", "--networks", "lite0"]
    arguments += ["--methods", *methods, "--metrics", "average drop", "increase in confidence"]
    imagenet.main(arguments)
    printed = capsys.readouterr().out
    assert "# efficientnet-lite0, 8 crops of 8 photographs, score margin" in printed
    assert (tmp_path / "lite0" / "study.md").read_text() == printed
    assert (tmp_path / "lite0" / "front.png").stat().st_size > 0
    table = pd.read_csv(tmp_path / "lite0" / "results.csv")
    assert set(methods) < set(table["method"])
    assert table["image"].nunique() == 8
