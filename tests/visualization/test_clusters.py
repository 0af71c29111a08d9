from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from captum_clustered import Clusters
from captum_clustered.visualization import visualize_clusters

IMAGE = np.random.default_rng(0).random((8, 12, 3))
# Two examples of five clusters; the last one of the second example is empty.
IMPORTANCES = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [0.5, -2.0, 0.25, 1.5, 0.0]])
SIZES = torch.tensor([[1, 1, 1, 1, 1], [2, 1, 4, 3, 0]])
CLUSTERS = Clusters(
    labels=torch.zeros(2, 10, dtype=torch.int64),
    importances=IMPORTANCES,
    maps=IMPORTANCES[:, :, None, None].expand(2, 5, 2, 3) / 6,
    sizes=SIZES,
    score=IMPORTANCES.sum(1),
    baseline_score=torch.zeros(2),
)


def draw(clusters=CLUSTERS, example=1, **options):
    figure, axes = visualize_clusters(clusters, IMAGE, example=example, use_pyplot=False, **options)
    figure.figure.draw_without_rendering()
    return figure, axes


def titles(axes):
    return [axis.get_title() for axis in axes]


def test_clusters_are_sorted_named_and_without_empty_ones():
    _, axes = draw()
    assert titles(axes) == [
        "cluster 3\ndrop +1.5\n3 channels",
        "cluster 0\ndrop +0.5\n2 channels",
        "cluster 2\ndrop +0.25\n4 channels",
        "cluster 1\ndrop \u22122\n1 channel",
    ]
    drawn = [axis.images[1].get_array()[0, 0] for axis in axes]
    assert drawn == pytest.approx([0.25, 0.5 / 6, 0.25 / 6, -1 / 3])


def test_all_are_on_one_scale():
    figure, axes = draw()
    for axis in axes:
        assert axis.images[1].get_clim() == pytest.approx((-1 / 3, 1 / 3))
    bar = figure.axes[-1]
    assert bar.get_ylim() == pytest.approx((-1 / 3, 1 / 3))
    assert bar.get_ylabel() == "share of the attribution"
    figure, axes = draw(limit=2.0)
    assert axes[0].images[1].get_clim() == (-2, 2)


def test_or_each_on_its_own_which_shows_where_a_weak_one_is_active():
    figure, axes = draw(scale="own")
    limits = [axis.images[1].get_clim()[1] for axis in axes]
    assert limits == pytest.approx([0.25, 0.5 / 6, 0.25 / 6, 1 / 3])
    assert figure.axes[-1].get_ylim() == (-1, 1)
    assert figure.axes[-1].get_ylabel() == "each map on\nits own scale"


def test_of_too_many_those_of_the_largest_absolute_importance():
    figure, axes = draw(max_clusters=2)
    assert titles(axes) == [
        "cluster 3\ndrop +1.5\n3 channels",
        "cluster 1\ndrop \u22122\n1 channel",
    ]
    assert figure.get_suptitle() == "2 of 4 clusters"
    assert draw()[0].get_suptitle() == ""


def test_shapley_values_are_called_so():
    _, axes = draw(importance="shapley")
    assert titles(axes)[0] == "cluster 3\nShapley value +1.5\n3 channels"


def test_many_clusters_fill_rows():
    k = 9
    many = replace(
        CLUSTERS,
        importances=torch.arange(float(k))[None],
        maps=torch.ones(1, k, 2, 2),
        sizes=torch.ones(1, k, dtype=torch.int64),
    )
    figure, axes = draw(many, example=0)
    assert len(axes) == k
    # The image and nine clusters in five columns and two rows, and the bar.
    assert len(figure.axes) == 11
    assert figure.axes[0].get_title() == "input"
    assert len(draw(many, example=0, max_clusters=8)[0].axes) == 11
    assert not draw(many, example=0, max_clusters=8)[0].axes[9].axison


def test_axes_that_exist_are_drawn_on():
    figure = Figure()
    top, bottom = figure.subfigures(2)
    given = bottom.subplots(1, 4)
    _, axes = draw(plt_fig_axis=(bottom, given))
    assert list(axes) == list(given)
    with pytest.raises(ValueError, match=r"plt_fig_axis must have 1 x 4 axes .*; got 3"):
        draw(plt_fig_axis=(top, top.subplots(1, 3)))


def test_outlines():
    plain, outlined = (len(draw(**o)[1][0].collections) for o in ({}, {"mask": np.eye(8, 12)}))
    assert outlined == plain + 1


def test_mistakes_are_named():
    with pytest.raises(TypeError, match=r"clusters must be a Clusters, from .*; got Tensor"):
        draw(CLUSTERS.maps)
    with pytest.raises(ValueError, match="clusters must be of a layer of one tensor"):
        draw(replace(CLUSTERS, maps=(CLUSTERS.maps, CLUSTERS.maps)))
    with pytest.raises(ValueError, match=r"must have shape \(N, k, h, w\); got \(2, 5, 6\)"):
        draw(replace(CLUSTERS, maps=CLUSTERS.maps.flatten(2)))
    with pytest.raises(IndexError, match="example 2 is out of range: clusters has 2 examples"):
        draw(example=2)
    with pytest.raises(ValueError, match=r"importance='drop' must be 'ablation' or"):
        draw(importance="drop")
    with pytest.raises(ValueError, match="scale='row' must be 'shared' or 'own'"):
        draw(scale="row")
    with pytest.raises(ValueError, match="max_clusters=0 must be an int of at least 1"):
        draw(max_clusters=0)
    with pytest.raises(ValueError, match=r"clusters\.maps must be finite"):
        draw(replace(CLUSTERS, maps=CLUSTERS.maps * float("nan")))
