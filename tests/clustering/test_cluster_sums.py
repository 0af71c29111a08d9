import torch

from captum_clustered._clustering import cluster_sums as module
from captum_clustered._clustering.cluster_sums import cluster_sums, membership

LABELS = torch.tensor([[0, 2, 0], [1, 1, 1]])


def test_membership_by_hand():
    expected = [
        [[True, False, True], [False, False, False], [False, True, False]],
        [[False, False, False], [True, True, True], [False, False, False]],
    ]
    assert membership(LABELS, 3).tolist() == expected


def test_sums_by_hand_in_any_number_of_blocks(monkeypatch):
    values = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
    for max_elements in (2**24, 12, 1):
        monkeypatch.setattr(module, "_MAX_ELEMENTS", max_elements)
        assert cluster_sums(values, LABELS, 3).tolist() == [[5, 0, 2], [0, 56, 0]]
