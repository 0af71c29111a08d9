"""Planes of a volume, as radiologists look at them. How they look was judged by eye."""

import numpy as np
import pytest

pytest.importorskip("nibabel", reason="needs the extra volumes")

from captum_clustered.visualization import visualize_volume


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, 1)])
def test_right_front_and_top_are_at_the_left_and_the_top(signs):
    affine = np.diag([*(np.array(signs) * (1, 2, 4)), 1])
    volume, attr = np.zeros((6, 5, 4)), np.zeros((6, 5, 4))
    # The last voxel to the right, to the front and upwards.
    corner = tuple(n - 1 if sign > 0 else 0 for n, sign in zip(volume.shape, signs, strict=True))
    volume[corner] = attr[corner] = 1
    _, axes = visualize_volume(attr, volume, affine=affine, value_range=(0, 1), use_pyplot=False)
    # Rows and columns of the axial, the coronal and the sagittal plane, and their proportions.
    for axis, shape, aspect in zip(axes[0], ((5, 6), (4, 6), (4, 5)), (2, 4, 2), strict=True):
        picture = np.asarray(axis.images[0].get_array())[..., 0]
        assert picture.shape == shape
        assert np.unravel_index(picture.argmax(), shape) == (0, 0)
        assert axis.get_aspect() == aspect
        assert picture.max() == 1


def test_a_strip_has_the_slice_of_the_maximum():
    attr = np.zeros((4, 4, 20))
    attr[1, 2, 13] = 1
    _, axes = visualize_volume(attr, attr, view="strip", n_slices=4, use_pyplot=False)
    assert [axis.get_title() for axis in axes[0]] == [f"slice {n}" for n in (3, 8, 14, 18)]


def test_the_legend_names_the_lines_of_the_drawn_planes_alone():
    attr = np.zeros((9, 9, 9))
    attr[4, 4, 4], attr[1, 1, 1] = 1, -0.9
    for view, signs in (("slices", "+"), ("projection", "+-")):
        figure, _ = visualize_volume(attr, attr, view=view, use_pyplot=False)
        (legend,) = figure.legends
        texts = [text.get_text() for text in legend.get_texts()]
        assert [text[0].replace("\N{MINUS SIGN}", "-") for text in texts] == list(signs)
