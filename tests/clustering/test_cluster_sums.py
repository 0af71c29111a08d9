import torch

from captum_clustered._clustering.cluster_sums import cluster_sums, masked_sums

LABELS = torch.tensor([[0, 2, 0], [1, 1, 1]])
VALUES = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])


def test_sums_by_hand():
    for sums in (cluster_sums, masked_sums):
        assert sums(VALUES, LABELS, 3).tolist() == [[5, 0, 2], [0, 56, 0]]
        assert sums(torch.ones_like(LABELS), LABELS, 3).tolist() == [[2, 0, 1], [0, 3, 0]]


def test_sums_of_maps_by_hand():
    maps = torch.stack([VALUES, -VALUES], 2)
    assert cluster_sums(maps, LABELS, 3).tolist() == [
        [[5, -5], [0, 0], [2, -2]],
        [[0, 0], [56, -56], [0, 0]],
    ]
