import numpy as np
import torch
from nets import GapLinear

from captum_clustered import ClusteredLayerCAM, Clusters
from captum_clustered.clusters import order_clusters

# The last cluster has no channels.
IMPORTANCES = np.array([1.0, 3.0, 1.0, -3.0, 9.0])
SIZES = np.array([1, 1, 1, 1, 0])


def test_the_most_important_come_first_and_equal_ones_keep_their_order():
    assert order_clusters(IMPORTANCES, SIZES) == [1, 0, 2, 3]
    assert order_clusters(IMPORTANCES, SIZES, 9) == [1, 0, 2, 3]


def test_of_too_many_those_of_the_largest_absolute_importance_are_left():
    assert order_clusters(IMPORTANCES, SIZES, 3) == [1, 0, 3]
    assert order_clusters(IMPORTANCES, SIZES, 1) == [1]


def clusters_of(n):
    net = GapLinear()
    cam = ClusteredLayerCAM(net, net.relu, clusterer=2)
    return cam.attribute(torch.rand(n, 2, 9, 5), target=0, return_clusters=True)[1]


def test_they_are_said_in_one_line():
    assert repr(clusters_of(1)) == "Clusters(1 example, 2 clusters with maps 9 x 5)"
    assert repr(clusters_of(3)) == "Clusters(3 examples, 2 clusters with maps 9 x 5)"


def test_they_are_saved_and_loaded_with_the_defaults_of_torch(tmp_path):
    clusters = clusters_of(2)
    torch.save(clusters, tmp_path / "clusters.pt")
    again = torch.load(tmp_path / "clusters.pt", weights_only=True)
    assert isinstance(again, Clusters)
    for name, values in vars(clusters).items():
        assert torch.equal(getattr(again, name), values)
