import math

import numpy as np
import pandas as pd
import pytest

from captum_clustered.comparison.statistics import holm, interval, sign_flip_test, summarize


def test_sign_flip_by_hand():
    # Of the 8 sign patterns of 1, 2, 3 only two have a sum of at least 6 in size.
    assert sign_flip_test(np.array([1.0, 2.0, 3.0])) == 2 / 8
    # +-1 +-1: sums 2, 0, 0, -2; nothing is smaller in size than 0.
    assert sign_flip_test(np.array([1.0, -1.0])) == 1
    assert sign_flip_test(np.zeros(5)) == 1
    assert math.isnan(sign_flip_test(np.empty(0)))


def test_sampled_sign_flips_are_close_to_the_exact_p_value():
    # The sum of 20 equal differences: p = 2 P(20 of 20) = 2^-19, below what 9999 can show.
    assert sign_flip_test(np.ones(20)) == pytest.approx(1e-4)
    # 15 of 20 positive ones: a binomial test, p = 2 P(X >= 15) = 0.0414.
    differences = np.array([1.0] * 15 + [-1.0] * 5)
    assert sign_flip_test(differences) == pytest.approx(0.0414, abs=0.006)
    assert sign_flip_test(differences, seed=3) == sign_flip_test(differences, seed=3)


def test_holm_by_hand():
    # Sorted .01 x 3, .02 x 2, .04 x 1, made monotone: .03, .04, .04.
    assert holm([0.04, 0.01, math.nan, 0.02])[:2] == pytest.approx([0.04, 0.03])
    assert holm([0.04, 0.01, math.nan, 0.02])[3] == pytest.approx(0.04)
    assert math.isnan(holm([0.04, 0.01, math.nan, 0.02])[2])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_interval_of_degenerate_data():
    assert interval(np.full(4, 2.5)) == (2.5, 2.5)
    assert all(map(math.isnan, interval(np.array([1.0]))))
    assert all(map(math.isnan, interval(np.empty(0))))


def test_interval_of_a_large_sample_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(size=400)
    low, high = interval(values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)
    assert interval(values) == (low, high)


def test_more_images_than_bca_is_for():
    values = np.random.default_rng(0).normal(size=2500)
    low, high = interval(values)
    assert low < values.mean() < high


def test_summary_by_hand():
    table = pd.DataFrame({"mine": [1.0, 3.0, math.nan, 5.0], "other": [0.0, 1.0, 7.0, math.nan]})
    mine, other = summarize(table, "other", 0)
    assert (mine["mean"], mine["n"], mine["missing"]) == (3, 3, 1)
    # Pairs are the first two images alone: differences 1 and 2.
    assert (mine["difference"], mine["pairs"]) == (1.5, 2)
    assert mine["p"] == 0.5
    assert mine["p_holm"] == 0.5
    assert other["pairs"] == 0
    assert math.isnan(other["difference"])
    assert math.isnan(other["p_holm"])


def test_nothing_to_summarize():
    (row,) = summarize(pd.DataFrame({"mine": [math.nan, math.nan]}), "other", 0)
    assert (row["n"], row["missing"]) == (0, 2)
    assert math.isnan(row["mean"])
