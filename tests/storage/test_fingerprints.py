import pytest
import torch
from nets import MlpHead
from sklearn.cluster import AgglomerativeClustering
from small_runs import method

from captum_clustered import ClusteredLayerCAM, scores
from captum_clustered._storage.fingerprints import describe, hash_of_names, hash_of_weights


def rows(rows):
    return torch.zeros(len(rows), dtype=torch.long)


def test_weights_are_told_apart_by_value_name_shape_and_type():
    net = torch.nn.BatchNorm1d(4)
    before = hash_of_weights(net)
    assert hash_of_weights(torch.nn.BatchNorm1d(4)) == before
    changed = torch.nn.BatchNorm1d(4)
    changed.running_mean[2] = 1e-6
    named = torch.nn.Sequential(torch.nn.BatchNorm1d(4))
    others = [changed, named, torch.nn.BatchNorm1d(4).double(), torch.nn.BatchNorm1d(2)]
    assert len({before, *map(hash_of_weights, others)}) == 5


def test_names_are_told_apart_by_order_and_ends():
    lists = [["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], ["a:b"], [], ["1a"], ["a\udcff"]]
    assert len({hash_of_names(names) for names in lists}) == len(lists)
    assert hash_of_names([1, None]) == hash_of_names(["1", "None"])


def test_a_description_names_all_that_matters():
    net = MlpHead()
    found = describe(ClusteredLayerCAM(scores.margin(net), net.conv, seed=3, importance="shapley"))
    assert found["model"] == "nets.MlpHead"
    assert found["layer"] == "conv"
    assert found["score"] == "margin of nets.MlpHead"
    assert found["seed"] == 3
    assert found["importance"] == "shapley"
    assert found["weights"] == hash_of_weights(net)


@pytest.mark.parametrize(
    ("clusterer", "expected"),
    [
        (4, 4),
        (AgglomerativeClustering(n_clusters=3), "AgglomerativeClustering(n_clusters=3)"),
        (rows, "rows"),
    ],
)
def test_clusterers(clusterer, expected):
    assert describe(method(clusterer=clusterer))["clusterer"] == expected


def test_fixed_labels_are_told_by_their_values():
    kinds = [torch.tensor([0, 1, 0, 1, 2, 2]), torch.tensor([0, 1, 0, 1, 2, 1])]
    found = {describe(method(clusterer=labels))["clusterer"] for labels in kinds}
    assert len(found) == 2
    assert all(text.startswith("fixed ") for text in found)
    x = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert describe(method().fit(x))["clusterer"].startswith("fitted ")
