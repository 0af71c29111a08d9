import numpy as np

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
