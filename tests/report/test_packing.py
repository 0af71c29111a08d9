import base64
import io

import numpy as np
import pytest
from PIL import Image

from captum_clustered.report.packing import (
    largest_side,
    packed_clusters,
    packed_map,
    packed_mask,
    packed_picture,
    rounded,
)

MINUS = "\N{MINUS SIGN}"


def levels(found):
    values = np.frombuffer(base64.b64decode(found.values), np.int8)
    return values.reshape(found.height, found.width).tolist()


def test_levels_are_symmetric_about_zero():
    found = packed_map(np.array([[-2.0, -1.0, 0.0], [0.5, 1.0, 2.0]]), limit=2.0, side=9)
    assert levels(found) == [[-127, -64, 0], [32, 64, 127]]
    assert (found.low, found.high, found.limit) == (-2, 2, 2)


def test_a_shared_limit_leaves_levels_unused():
    found = packed_map(np.array([[0.0, 1.0]]), limit=2.0, side=9)
    assert levels(found) == [[0, 64]]
    assert (found.low, found.high, found.limit) == (0, 1, 2)


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324])
def test_zeros_and_what_cannot_be_divided_by(value):
    values = np.full((2, 2), value)
    assert levels(packed_map(values, None, side=9)) == [[0, 0], [0, 0]]


def test_tiny_maps_use_all_levels():
    values = np.array([[1e-300, -1e-300]])
    assert levels(packed_map(values, None, side=9)) == [[127, -127]]


def test_large_maps_shrink_but_keep_their_range():
    values = np.zeros((4, 2))
    values[0] = 8
    found = packed_map(values, limit=8, side=2)
    assert levels(found) == [[64], [0]]
    assert (found.low, found.high) == (0, 8)
    assert packed_map(values, 8, 2, np.array([-8, 9])).low == -8


def test_maps_together_stay_within_their_bytes():
    for n_maps in (1, 30, 6000, 10**8):
        side = largest_side(n_maps, 6_000_000)
        assert side == 1 or n_maps * side**2 <= 6_000_000
        assert n_maps * (side + 1) ** 2 > 6_000_000


def test_maps_without_a_limit_have_their_own():
    for extremes, limit in ((None, 3), ([-2, 9], 9), ([1, 2], 2), ([-4, -1], 4)):
        assert packed_map(np.array([[1.0, -3.0]]), None, 9, extremes).limit == limit


@pytest.mark.parametrize(
    ("mask", "runs"),
    [
        ([[0, 0], [0, 0]], [4]),
        ([[1, 1], [1, 1]], [0, 4]),
        ([[0, 1], [1, 0]], [1, 2, 1]),
        ([[1, 0], [0, 1]], [0, 1, 2, 1]),
    ],
)
def test_runs_of_a_mask(mask, runs):
    assert packed_mask(np.array(mask, bool)) == runs


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_keep_their_size_up_to_224(channels):
    picture = np.full((448, 100, channels), 200, np.uint8)
    text, height, width = packed_picture(picture)
    assert (height, width) == (224, 50)
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        assert image.format == "WEBP"
        assert image.size == (50, 224)
        np.testing.assert_allclose(np.asarray(image.convert("RGB")), 200, atol=2)
    assert packed_picture(picture[:30, :20])[1:] == (30, 20)


def test_four_digits_are_kept():
    assert rounded(123456.0) == 123500
    assert rounded(-0.000123456) == -0.0001235
    assert [rounded(value) for value in (None, float("nan"), float("inf"))] == [None] * 3


def made(importances=(0.5, -1.0, 0.0), sizes=(2, 1, 0), **kwargs):
    maps = np.array([[[1.0, 0.0]], [[-2.0, -1.0]], [[0.0, 0.0]]])
    ranges = np.stack([maps.min((1, 2)), maps.max((1, 2))], 1)
    arguments = {"side": 9, "importance": "ablation"} | kwargs
    return packed_clusters(np.array(importances), np.array(sizes), maps, ranges, **arguments)


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
        ({}, "2 clusters of channels, by the drop in the score without them"),
        ({"importance": "shapley"}, "2 clusters of channels, by their Shapley value"),
        ({"sizes": (3, 0, 0)}, "1 cluster of channels, by the drop in the score without them"),
        (
            {"unit": "logit"},
            "2 clusters of channels, by the drop in the score without them (logit)",
        ),
        ({"method": "mine"}, "mine: 2 clusters of channels, by the drop in the score without them"),
        ({"n_clusters": 2}, "2 clusters of channels, by the drop in the score without them"),
        ({"n_clusters": 5}, "2 of 5 clusters of channels, by the drop in the score without them"),
    ],
)
def test_titles(kwargs, title):
    assert made(**kwargs).title == title


def test_what_is_not_there_is_said():
    assert made(n_clusters=5).scale.endswith("Less important clusters are left out.")
    assert made(n_runs=4).scale.endswith("the first of the 4 clusterings that the map averages.")


def test_no_cluster_has_channels():
    found = made(sizes=(0, 0, 0))
    assert (found.importances, found.values, found.height) == ([], [], 0)
