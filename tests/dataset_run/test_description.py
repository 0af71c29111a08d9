import pytest
import torch
from nets import MlpHead
from sklearn.cluster import AgglomerativeClustering
from small_runs import method

from captum_clustered import ClusteredLayerCAM, scores
from captum_clustered._storage.fingerprints import hash_module
from captum_clustered.dataset_run.description import describe_method


def rows(rows):
    return torch.zeros(len(rows), dtype=torch.long)


def test_a_description_names_all_that_matters():
    net = MlpHead()
    cam = ClusteredLayerCAM(scores.margin(net), net.conv, seed=3, importance="shapley")
    found = describe_method(cam)
    assert found["model"] == "nets.MlpHead"
    assert found["layer"] == "conv"
    assert found["score"] == "margin of nets.MlpHead"
    assert found["seed"] == 3
    assert found["importance"] == "shapley"
    assert found["weights"] == hash_module(net)


@pytest.mark.parametrize(
    ("clusterer", "expected"),
    [
        (4, 4),
        (AgglomerativeClustering(n_clusters=3), "AgglomerativeClustering(n_clusters=3)"),
        (rows, "rows"),
    ],
)
def test_clusterers(clusterer, expected):
    assert describe_method(method(clusterer=clusterer))["clusterer"] == expected


def test_fixed_labels_are_told_by_their_values():
    kinds = [torch.tensor([0, 1, 0, 1, 2, 2]), torch.tensor([0, 1, 0, 1, 2, 1])]
    found = {describe_method(method(clusterer=labels))["clusterer"] for labels in kinds}
    assert len(found) == 2
    assert all(text.startswith("fixed ") for text in found)
    x = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert describe_method(method().fit(x))["clusterer"].startswith("fitted ")
