import base64

import numpy as np
import pytest

from captum_clustered.report.clusters import shown_clusters, signed

MINUS = "\N{MINUS SIGN}"


def made(importances=(0.5, -1.0, 0.0), sizes=(2, 1, 0), **kwargs):
    maps = np.array([[[1.0, 0.0]], [[-2.0, -1.0]], [[0.0, 0.0]]])
    ranges = np.stack([maps.min((1, 2)), maps.max((1, 2))], 1)
    arguments = {"side": 9, "importance": "ablation"} | kwargs
    return shown_clusters(np.array(importances), np.array(sizes), maps, ranges, **arguments)


def test_the_most_important_are_first_on_one_scale():
    found = made(importances=(-1.0, 0.5, 0.0))
    assert found.importances == ["+0.5", f"{MINUS}1"]
    assert found.sizes == [1, 2]
    assert found.ranges == [(-2, -1), (0, 1)]
    assert (found.height, found.width) == (1, 2)
    levels = [np.frombuffer(base64.b64decode(values), np.int8).tolist() for values in found.values]
    assert levels == [[-127, -64], [64, 0]]
    assert found.scale == f"Colors of all these clusters: from {MINUS}2 to +2."


@pytest.mark.parametrize(
    ("kwargs", "title"),
    [
        ({}, "2 clusters of channels, by what the score loses without them"),
        ({"importance": "shapley"}, "2 clusters of channels, by their Shapley value"),
        ({"sizes": (3, 0, 0)}, "1 cluster of channels, by what the score loses without them"),
        ({"unit": "logit"}, "2 clusters of channels, by what the score loses without them (logit)"),
        ({"method": "mine"}, "mine: 2 clusters of channels, by what the score loses without them"),
        ({"n_clusters": 2}, "2 clusters of channels, by what the score loses without them"),
        ({"n_clusters": 5}, "2 of 5 clusters of channels, by what the score loses without them"),
    ],
)
def test_titles(kwargs, title):
    assert made(**kwargs).title == title


def test_what_is_not_there_is_said():
    assert made(n_clusters=5).scale.endswith("Those of less importance are left out.")
    assert made(n_runs=4).scale.endswith("the first of the 4 clusterings that the map averages.")


def test_no_cluster_has_channels():
    found = made(sizes=(0, 0, 0))
    assert (found.importances, found.values, found.height) == ([], [], 0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-0.0, "0"), (1.2345, "+1.23"), (-1e-9, f"{MINUS}1e{MINUS}09")]
)
def test_numbers_have_their_sign(value, text):
    assert signed(value) == text
