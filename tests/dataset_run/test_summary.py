"""Means and examples from scores that are written by hand."""

import math

import numpy as np
import pytest
from small_runs import Pictures, method, run

from captum_clustered.dataset_run import ClusterMean, ClusterSummary, Run, cluster_summary
from captum_clustered.dataset_run.store import Manifest, RunStore

IMPORTANCES = [[1.0, 5.0], [3.0, -1.0], [2.0, 0.5], [-4.0, 9.0], [6.0, 9.0]]
TARGETS = [0, 0, 1, None, 1]


@pytest.fixture
def stored(tmp_path):
    """Two chunks; the fourth image has no result."""
    manifest = Manifest({"fit": 4, "clusterer": 2}, 5, 2, 4, 1, [1], [1])
    store = RunStore(tmp_path)
    store.write_manifest(manifest)
    rows = [
        {"index": index, "item": f"{index}.png", "target": target, "label": 1}
        | {"importances": values, "sizes": [7, 3]}
        for index, (target, values) in enumerate(zip(TARGETS, IMPORTANCES, strict=True))
    ]
    rows[3] = {"index": 3, "item": "3.png", "error": "broken"}
    for chunk in range(2):
        store.write(chunk, rows[4 * chunk : 4 * chunk + 4], manifest)
    return Run(tmp_path)


def test_means_by_class_and_over_all(stored):
    means = cluster_summary(stored).means
    found = {(m.cluster, m.target): m for m in means}
    assert [(m.cluster, m.target) for m in means] == [
        (1, None),
        (0, None),
        (1, 0),
        (0, 0),
        (1, 1),
        (0, 1),
    ]
    assert found[0, None].mean == pytest.approx(12 / 4)
    assert found[1, None].mean == pytest.approx(13.5 / 4)
    assert found[0, 0].mean == pytest.approx(2)
    assert found[1, 1].mean == pytest.approx(4.75)
    assert found[0, None].std == pytest.approx(np.std([1, 3, 2, 6], ddof=1))
    assert found[1, None].std == pytest.approx(np.std([5, -1, 0.5, 9], ddof=1))
    assert found[1, 0].positive == 0.5
    assert found[1, None].positive == 0.75
    assert [found[j, None].channels for j in (0, 1)] == [7, 3]
    assert [found[0, target].images for target in (None, 0, 1)] == [4, 2, 2]


def test_examples_are_where_a_cluster_matters_most(stored):
    examples = cluster_summary(stored, n_examples=2).examples
    assert [(e.cluster, e.rank, e.item, e.importance) for e in examples] == [
        (1, 1, "4.png", 9.0),
        (1, 2, "0.png", 5.0),
        (0, 1, "4.png", 6.0),
        (0, 2, "1.png", 3.0),
    ]
    assert [(e.target, e.label) for e in examples] == [(1, 1), (0, 1), (1, 1), (0, 1)]
    assert cluster_summary(stored, n_examples=0).examples == []


def test_files(stored, tmp_path):
    cluster_summary(stored, 1).save(tmp_path)
    lines = (tmp_path / "clusters.csv").read_text().splitlines()
    assert lines[0] == "cluster,channels,target,images,mean,std,positive"
    assert lines[1].startswith("1,3,all,4,3.375,")
    lines = (tmp_path / "cluster_examples.csv").read_text().splitlines()
    assert lines[1] == "1,1,4,4.png,1,1,9.0"


def test_one_image_has_no_deviation(tmp_path):
    found = cluster_summary(run(tmp_path, Pictures(1), method(), fit=1))
    assert all(math.isnan(mean.std) for mean in found.means)


def test_fixed_labels_will_do(tmp_path):
    labels = run(tmp_path / "a", Pictures(3), fit=3).cluster_labels
    found = run(tmp_path / "b", Pictures(3), method(clusterer=labels))
    assert sorted(cluster_summary(found).clusters) == [0, 1, 2]


def test_what_cannot_be_summed_up(tmp_path, stored):
    with pytest.raises(ValueError, match="a separate clustering for each image"):
        cluster_summary(run(tmp_path / "a", Pictures(2)))
    with pytest.raises(ValueError, match="n_examples=-1"):
        cluster_summary(stored, -1)
    for chunk in range(2):
        RunStore(stored.folder).path(chunk).unlink()
    with pytest.raises(ValueError, match="no image that is explained"):
        cluster_summary(stored)


def test_the_classes_that_were_explained_most_often():
    images = {7: 3, 1: 9, 5: 4, 2: 1, 0: 8}
    means = [
        ClusterMean(0, 4, target, number, 1.0, 0.0, 1.0)
        for target, number in [(None, 25), *images.items()]
    ]
    summary = ClusterSummary(means, [])
    assert summary.frequent_targets(4) == [0, 1, 5, 7]
    assert summary.n_images == 25
