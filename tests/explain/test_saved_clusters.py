"""Clusters from files."""

import json

import numpy as np
import pytest
import torch
from small_runs import method, run

from captum_clustered.explain import read_clusters


def test_of_torch_save(tmp_path):
    torch.save(torch.tensor([1, 0, 1]), tmp_path / "labels.pt")
    found = read_clusters(tmp_path / "labels.pt")
    assert found.tolist() == [1, 0, 1]
    assert found.dtype is torch.int64


def test_of_a_run(tmp_path):
    result = run(tmp_path / "out", fit="all")
    for path in (tmp_path / "out", tmp_path / "out" / "clusters.json"):
        assert torch.equal(read_clusters(path, len(result.cluster_labels)), result.cluster_labels)
    # As the method takes them.
    method(clusterer=read_clusters(tmp_path / "out"))


def test_of_an_explanation(tmp_path):
    np.savez(tmp_path / "a.npz", labels=np.array([0, 0, 1]), maps=np.zeros(3))
    assert read_clusters(tmp_path / "a.npz").tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), "must hold the cluster of each channel, integers of shape"),
        (torch.zeros(2, 3, dtype=torch.long), r"it holds torch.int64 of shape \(2, 3\)"),
        (torch.zeros(0, dtype=torch.long), r"of shape \(0,\)"),
        (torch.tensor([0, -1]), "must hold the cluster of each channel"),
        ({"weight": torch.zeros(3)}, "labels.pt cannot be read"),
        (torch.tensor([0, 1]), "is for 2 channels; the layer has 3"),
    ],
)
def test_other_contents(tmp_path, content, message):
    torch.save(content, tmp_path / "labels.pt")
    with pytest.raises(ValueError, match=message):
        read_clusters(tmp_path / "labels.pt", 3)


def test_damaged_files(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"labels": [1]}))
    (tmp_path / "a.pt").write_text("x")
    for name in ("a.json", "a.pt"):
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            read_clusters(tmp_path / name)


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*nowhere\.pt"):
        read_clusters(tmp_path / "nowhere.pt")
    with pytest.raises(FileNotFoundError, match=r"has no clusters\.json"):
        read_clusters(tmp_path)
