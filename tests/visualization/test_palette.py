import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from captum_clustered.visualization.arrays import backdrop
from captum_clustered.visualization.palette import TABLE, to_rgba

VALUES = np.linspace(-1, 1, 201)
# What the backdrop makes of black, of a middle gray and of white.
BLACK, MIDDLE, WHITE = backdrop(np.array([[[0.0] * 3, [0.43] * 3, [1.0] * 3]]))[0, :, 0]
# Machado, Oliveira and Fernandes 2009, deuteranopia, for linear RGB.
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]


def over(rgba, gray):
    return rgba[..., 3:] * rgba[..., :3] + (1 - rgba[..., 3:]) * gray


def deuteranope(rgb):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(DEUTERANOPIA), 0, 1)
    return np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


def difference(a, b):
    return deltaE_ciede2000(rgb2lab(a), rgb2lab(b))


def test_opacity_grows_with_the_strength_from_zero():
    for opacity in (0.55, 0.2):
        alpha = to_rgba(VALUES, opacity)[:, 3]
        assert alpha[100] == 0
        assert alpha[[0, -1]] == pytest.approx(opacity)
        assert (np.diff(alpha[100:]) > 0).all()
        assert (np.diff(alpha[:101]) < 0).all()


def test_more_than_forty_per_cent_of_the_images_contrast_stays_under_the_largest_value():
    rgba = to_rgba([-1, 1])
    assert over(rgba, 1.0) - over(rgba, 0.0) == pytest.approx(np.full((2, 3), 0.45))


def test_equal_steps_of_the_map_are_equal_steps_of_color_over_a_middle_gray():
    colors = over(to_rgba(VALUES), MIDDLE)
    steps = difference(colors[1:], colors[:-1])
    below, above = steps[:100], steps[100:]
    for side in (below, above):
        assert side.max() / side.min() < 1.25
    assert above.sum() / below.sum() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("gray", [BLACK, WHITE])
@pytest.mark.parametrize("seen_as", [np.asarray, deuteranope])
def test_over_dark_and_bright_tissue_stronger_is_further_from_the_tissue(gray, seen_as):
    colors = seen_as(over(to_rgba(VALUES), gray))
    distance = difference(colors, np.broadcast_to(colors[100], colors.shape))
    for side in (distance[100:], distance[100::-1]):
        # Less than what is seen side by side.
        assert (np.maximum.accumulate(side) - side).max() < 1
        assert (np.diff(side[::10]) > -0.5).all()
        assert side[-1] > 1.1 * side[50]


@pytest.mark.parametrize("gray", [BLACK, MIDDLE, WHITE])
@pytest.mark.parametrize("seen_as", [np.asarray, deuteranope])
def test_the_signs_differ_from_each_other_and_from_the_tissue(gray, seen_as):
    # A difference of 2 is seen side by side, one of 10 at a glance.
    tissue = seen_as(np.full((1, 3), gray))
    for strength, least in ((0.25, 4), (0.5, 8), (1, 16)):
        against, in_favor = seen_as(over(to_rgba([-strength, strength]), gray))[:, None]
        assert difference(against, in_favor) > 2 * least
        assert difference(against, tissue) > least
        assert difference(in_favor, tissue) > least


def test_what_lies_outside_has_the_color_of_the_end_and_nan_has_none():
    assert (to_rgba([-7, 7]) == to_rgba([-1, 1])).all()
    assert to_rgba(np.nan)[3] == 0


def test_the_table_is_the_function():
    assert TABLE.shape == (256, 4)
    assert TABLE.dtype == np.uint8
    assert TABLE[128, 3] == 0
    assert (TABLE[0] == TABLE[1]).all()
    for relative in (-1, -64 / 127, 32 / 127, 1):
        entry = TABLE[128 + round(127 * relative)]
        assert (entry == np.round(255 * to_rgba(relative))).all()
