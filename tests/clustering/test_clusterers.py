import numpy as np
import pytest
import torch
from nets import MlpHead, TwoTensors, images
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from captum_clustered import ClusteredLayerCAM
from captum_clustered._clustering.clusterers import make_clusterer
from captum_clustered._clustering.kmeans import kmeans

ROWS = torch.nn.functional.normalize(
    torch.rand(2, 9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64), dim=2
)


def test_an_int_is_the_built_in_k_means_with_consecutive_seeds():
    labels, count = make_clusterer(4, 3, seed=10)(ROWS, 0)
    assert count == 4
    assert torch.equal(labels, kmeans(ROWS, 4, [10, 11, 12]))
    assert make_clusterer(np.int64(40), 1, 0)(ROWS, 0)[1] == 9  # no more than channels


def test_none_is_each_channel_alone():
    labels, count = make_clusterer(None, 1, 0)(ROWS, 0)
    assert count == 9
    assert labels.tolist() == [[list(range(9))] * 2]
    with pytest.raises(ValueError, match=r"n_clusterings=2 .* clusterer=None has no seed"):
        make_clusterer(None, 2, 0)


def test_an_estimator_clusters_each_example_and_stays_unfitted():
    estimator = AgglomerativeClustering(3)
    labels, count = make_clusterer(estimator, 1, 0)(ROWS, 0)
    assert (labels.shape, count) == ((1, 2, 9), 3)
    for row, found in zip(ROWS, labels[0], strict=True):
        assert found.tolist() == AgglomerativeClustering(3).fit_predict(row.numpy()).tolist()
    assert not hasattr(estimator, "labels_")


def test_consensus_seeds_an_estimator():
    labels, _ = make_clusterer(KMeans(3, n_init=1), 2, seed=5)(ROWS, 0)
    for run, seed in zip(labels, (5, 6), strict=True):
        expected = KMeans(3, n_init=1, random_state=seed).fit_predict(ROWS[1].numpy())
        assert run[1].tolist() == expected.tolist()


def test_an_estimators_own_random_state_is_kept_in_a_single_run():
    labels, _ = make_clusterer(KMeans(3, n_init=1, random_state=42), 1, seed=5)(ROWS, 0)
    expected = KMeans(3, n_init=1, random_state=42).fit_predict(ROWS[0].numpy())
    assert labels[0, 0].tolist() == expected.tolist()


def test_an_estimator_without_random_state_does_not_touch_numpys_generator():
    before = np.random.get_state()[1].copy()
    first, _ = make_clusterer(SpectralClustering(3), 1, seed=5)(ROWS, 0)
    second, _ = make_clusterer(SpectralClustering(3), 1, seed=5)(ROWS, 0)
    assert torch.equal(first, second)
    assert (np.random.get_state()[1] == before).all()


def test_hdbscans_noise_is_one_more_cluster_the_last_of_its_example():
    rows = torch.zeros(2, 12, 2, dtype=torch.float64)
    spread = torch.linspace(0, 0.01, 5, dtype=torch.float64)
    rows[:, :5, 0] = 1 + spread
    rows[:, 5:10, 1] = 1 + spread
    rows[0, 10], rows[0, 11] = torch.tensor([-9.0, 3]), torch.tensor([7.0, 8])
    rows[1, 10:, 1] = 1.005
    labels, count = make_clusterer(HDBSCAN(min_cluster_size=4, copy=True), 1, 0)(rows, 0)
    assert count == 3
    assert labels[0, 0, 10:].tolist() == [2, 2]
    assert labels[0, 1].max() == 1
    assert sorted(labels[0, 0, [0, 5]].tolist()) == [0, 1]


def test_hdbscans_clusters_partition_the_channels_in_an_attribution():
    net, x = MlpHead(channels=12).double(), images()
    clusterer = HDBSCAN(min_cluster_size=2, copy=True)
    cam = ClusteredLayerCAM(
        net, net.conv, clusterer=clusterer, scaling="density", importance="shapley"
    )
    _, delta, clusters = cam.attribute(x, 0, return_convergence_delta=True, return_clusters=True)
    assert clusters.sizes.sum(1).tolist() == [12, 12, 12]
    assert delta.abs().max() < 1e-12


@pytest.mark.parametrize("convert", [torch.tensor, np.array, list])
def test_a_callable_sees_each_examples_rows(convert):
    seen = []

    def function(rows):
        seen.append(rows)
        return convert([0, 1, 2] * 3)

    labels, count = make_clusterer(function, 1, 0)(ROWS, 0)
    assert count == 3
    assert labels.tolist() == [[[0, 1, 2] * 3] * 2]
    assert torch.equal(torch.stack(seen), ROWS)


def test_fixed_labels_are_the_same_for_all_examples_and_noise_is_last():
    labels, count = make_clusterer(torch.tensor([0, 3, -1] * 3), 1, 0)(ROWS, 0)
    assert count == 5
    assert labels.tolist() == [[[0, 3, 4] * 3] * 2]


def test_an_estimator_of_any_class_with_fit_predict_will_do():
    class Halves:
        def fit_predict(self, X, y=None):  # noqa: N803
            return np.arange(len(X)) // 5

    labels, count = make_clusterer(Halves(), 1, 0)(ROWS, 0)
    assert (labels[0, 0].tolist(), count) == ([0] * 5 + [1] * 4, 2)
    with pytest.raises(ValueError, match="Halves has no random_state"):
        make_clusterer(Halves(), 2, 0)


@pytest.mark.parametrize("wrong", ["kmeans", 2.5, True, KMeans, (1, 2)])
def test_what_cannot_cluster_is_refused(wrong):
    with pytest.raises(TypeError, match=r"clusterer=.*fit_predict"):
        make_clusterer(wrong, 1, 0)


def test_the_number_of_clusters_must_be_positive():
    with pytest.raises(ValueError, match="clusterer=0"):
        make_clusterer(0, 1, 0)


@pytest.mark.parametrize("clusterer", [torch.tensor([0, 1]), lambda rows: rows])
def test_consensus_needs_seeds(clusterer):
    with pytest.raises(ValueError, match="n_clusterings=2"):
        make_clusterer(clusterer, 2, 0)


@pytest.mark.parametrize(
    "labels",
    [
        torch.zeros(2, 2, dtype=torch.long),
        torch.zeros(3),
        torch.tensor([], dtype=torch.long),
        torch.tensor([0, 3, 1]),
        torch.tensor([0, -2, 1]),
    ],
)
def test_fixed_labels_must_be_labels(labels):
    with pytest.raises(ValueError, match="clusterer"):
        make_clusterer(labels, 1, 0)


def test_fixed_labels_must_fit_the_layer():
    with pytest.raises(ValueError, match="labels for 2 channels, but the layer has 9"):
        make_clusterer(torch.tensor([0, 1]), 1, 0)(ROWS, 0)
    net, x = TwoTensors(), images(channels=5, size=(4, 4))
    for labels in (torch.arange(2), (torch.arange(2), torch.arange(3), torch.arange(3))):
        with pytest.raises(ValueError, match=r"labels for [13] tensors, but layer .* has 2"):
            ClusteredLayerCAM(net, net.split, clusterer=labels).attribute(x)


@pytest.mark.parametrize("labels", [[0.5] * 9, [0] * 8, [[0] * 9], [9] * 9, [-2] * 9])
def test_a_callable_must_return_labels(labels):
    with pytest.raises(ValueError, match="clusterer: the callable"):
        make_clusterer(lambda rows: torch.tensor(labels), 1, 0)(ROWS, 0)


@pytest.mark.parametrize("n_clusterings", [1, 2])
def test_every_random_state_of_a_pipeline_is_seeded(n_clusterings):
    def pipeline(seed=None):
        return make_pipeline(
            PCA(3, svd_solver="randomized", random_state=seed),
            KMeans(3, n_init=1, random_state=seed),
        )

    before = np.random.get_state()[1].copy()
    labels, _ = make_clusterer(pipeline(), n_clusterings, seed=5)(ROWS, 0)
    assert (np.random.get_state()[1] == before).all()
    for run, seed in zip(labels, (5, 6), strict=False):
        assert run[0].tolist() == pipeline(seed).fit_predict(ROWS[0].numpy()).tolist()


def test_a_clusterer_that_works_in_place_changes_nothing_but_its_rows():
    net, x = MlpHead().double(), images()

    def in_place(rows):
        rows -= rows.mean()
        return (rows[:, 0] > 0).long()

    def aside(rows):
        return in_place(rows.clone())

    # A layer without positions, whose rows are the activations themselves.
    found, expected = (
        ClusteredLayerCAM(net, net.head[1], clusterer=clusterer).attribute(x, 0)
        for clusterer in (in_place, aside)
    )
    assert torch.equal(found, expected)


def test_labels_may_be_of_any_integer_type_but_no_empty_tuple():
    assert make_clusterer(torch.tensor([0, 1], dtype=torch.int32), 1, 0).n_clusters == 2
    with pytest.raises(TypeError, match=r"clusterer=\(\)"):
        make_clusterer((), 1, 0)


def test_a_clusterer_that_fails_runs_once_and_is_not_taken_for_the_model():
    net, x, calls = MlpHead().double(), images(), []

    def fails_once(rows):
        calls.append(rows)
        raise ArithmeticError("the first time")

    with pytest.raises(ArithmeticError, match="the first time") as caught:
        ClusteredLayerCAM(net, net.conv, clusterer=fails_once).attribute(x, 0)
    assert len(calls) == 1
    assert caught.value.__context__ is None
