import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from torch.utils._python_dispatch import TorchDispatchMode

from captum_clustered._clustering import kmeans as kmeans_module
from captum_clustered._clustering.kmeans import CHECK_EVERY, kmeans


def inertia(rows, labels):
    total = 0.0
    for label in labels.unique():
        members = rows[labels == label]
        total += float((members - members.mean(0)).square().sum())
    return total


def feature_maps(n=2, channels=300, positions=36, seed=0):
    """Rows like those of a layer: sparse, non-negative blobs of unit length."""
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.randn(n, 12, positions, generator=generator, dtype=torch.float64)
    mix = torch.randn(n, channels, 12, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize((mix @ smooth).relu(), dim=2)


@pytest.mark.parametrize("n_init", [1, 10])
def test_inertia_is_within_one_per_cent_of_scikit_learns(n_init):
    rows = feature_maps(n=6)
    labels = kmeans(rows, 10, seeds=[0], n_init=n_init)[0]
    ours = np.mean([inertia(row, label) for row, label in zip(rows, labels, strict=True)])
    theirs = np.mean(
        [KMeans(10, n_init=n_init, random_state=0).fit(row.numpy()).inertia_ for row in rows]
    )
    assert ours <= 1.01 * theirs


def test_finds_the_partition_of_separable_data():
    points, truth = make_blobs(60, n_features=5, centers=4, cluster_std=0.05, random_state=0)
    labels = kmeans(torch.tensor(points)[None], 4, seeds=[0, 1, 2])
    theirs = KMeans(4, n_init=10, random_state=0).fit_predict(points)
    for run in labels:
        assert adjusted_rand_score(truth, run[0]) == 1
        assert adjusted_rand_score(theirs, run[0]) == 1


def test_hand_computed_clusters_on_a_line():
    rows = torch.tensor([[[0.0], [0.1], [10.0], [10.1], [0.2]]])
    labels = kmeans(rows, 2, seeds=[0])[0, 0]
    assert labels[0] == labels[1] == labels[4] != labels[2] == labels[3]


def test_an_example_does_not_depend_on_its_batch():
    rows = feature_maps(n=4, channels=50)
    together = kmeans(rows, 5, seeds=[3, 4], n_init=2)
    alone = torch.cat([kmeans(row[None], 5, seeds=[3, 4], n_init=2) for row in rows], 1)
    assert torch.equal(together, alone)


def test_an_example_that_has_converged_is_left_alone(monkeypatch):
    slow = feature_maps(n=3, channels=300)
    # Two distinct rows, found by the seeding.
    quick = torch.eye(36, dtype=torch.float64)[:2].repeat(150, 1)
    rows = torch.stack([slow[0], quick, slow[1], slow[2]])
    sizes = []
    bmm = torch.bmm

    def record(left, right, out):
        sizes.append(len(left))
        return bmm(left, right, out=out)

    monkeypatch.setattr(torch, "bmm", record)
    together = kmeans(rows, 10, seeds=[3])
    # The products of the first check and of the step after it.
    assert sizes[:9] == [4] * 2 * CHECK_EVERY + [3]
    assert set(sizes[9:]) <= {1, 2, 3}
    alone = torch.cat([kmeans(row[None], 10, seeds=[3]) for row in rows], 1)
    assert torch.equal(together, alone)


def test_a_run_depends_on_its_own_seed_alone():
    rows = feature_maps(channels=50)
    together = kmeans(rows, 5, seeds=[3, 4])
    assert torch.equal(together[1], kmeans(rows, 5, seeds=[4])[0])
    assert not torch.equal(together[0], together[1])


def test_global_generators_are_neither_used_nor_changed():
    rows = feature_maps(channels=50)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = kmeans(rows, 5, seeds=[0])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(first, kmeans(rows, 5, seeds=[0]))


def test_more_restarts_never_have_more_inertia():
    rows = feature_maps(n=1)
    few, many = (
        inertia(rows[0], kmeans(rows, 10, seeds=[0], n_init=n_init)[0, 0]) for n_init in (1, 8)
    )
    assert many <= few + 1e-9


def test_with_as_many_clusters_as_rows_each_row_is_alone():
    labels = kmeans(torch.rand(2, 3, 4), 5, seeds=[0, 1])
    assert torch.equal(labels, torch.arange(3).expand(2, 2, 3))


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_equal_rows_share_a_cluster_and_others_stay_empty(value):
    labels = kmeans(torch.full((1, 6, 4), value), 3, seeds=[0])
    assert labels.unique().numel() == 1


def test_fewer_distinct_rows_than_clusters_are_told_apart():
    rows = torch.eye(2).repeat(4, 1)[None]
    labels = kmeans(rows, 3, seeds=[0])[0, 0]
    assert torch.equal(labels, labels[:2].repeat(4))
    assert labels[0] != labels[1]


def test_a_common_offset_does_not_cost_precision():
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(100) % 5
    points = truth[:, None] + 0.01 * torch.randn(100, 1, generator=generator)
    labels = kmeans(5000 + points[None], 5, seeds=[0], n_init=3)[0, 0]
    assert adjusted_rand_score(truth, labels) == 1


class DtypesOnMeta(TorchDispatchMode):
    """Record the dtypes of all tensors that are made on the device "meta"."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.device.type == "meta":
            self.found.add(made.dtype)
        return made


def test_a_device_without_float64_gets_none(monkeypatch):
    features = torch.empty(2, 30, 5, device="meta")
    with DtypesOnMeta() as dtypes:
        kmeans(features, 4, seeds=[0, 1], n_init=2)
    assert torch.float64 in dtypes.found
    monkeypatch.setattr(kmeans_module, "NO_FLOAT64", ("meta",))
    with DtypesOnMeta() as dtypes:
        labels = kmeans(features, 4, seeds=[0, 1], n_init=2)
    assert labels.shape == (2, 2, 30)
    assert torch.float64 not in dtypes.found
