import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from captum_clustered.visualization.arrays import backdrop
from captum_clustered.visualization.palette import TABLE, tinted, to_rgba

VALUES = np.linspace(-1, 1, 201)
# What the backdrop makes of black, of a middle gray and of white.
BLACK, MIDDLE, WHITE = backdrop(np.array([[[0.0] * 3, [0.43] * 3, [1.0] * 3]]))[0, :, 0]
# Machado, Oliveira and Fernandes 2009, deuteranopia, for linear RGB.
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]


def colored(relative, gray, opacity=1.0):
    """Return what a figure draws for values (n,) over a gray, (n, 3)."""
    relative = np.asarray(relative)[None]
    return tinted(np.full((*relative.shape, 3), gray), relative, opacity)[0]


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


@pytest.mark.parametrize("picture", [np.full((1, 201, 3), MIDDLE), *np.eye(3).reshape(3, 1, 1, 3)])
def test_the_map_changes_hue_and_saturation_and_no_lightness(picture):
    picture = np.broadcast_to(picture, (1, 201, 3))
    lightness = rgb2lab(tinted(picture, VALUES[None]))[0, :, 0]
    assert lightness == pytest.approx(np.full(201, rgb2lab(picture)[0, 0, 0]), abs=0.02)


@pytest.mark.parametrize("gray", [BLACK, MIDDLE, WHITE])
def test_hues_are_blue_and_amber(gray):
    against, in_favor = rgb2lab(colored([-1, 1], gray))
    hue = [np.degrees(np.arctan2(color[2], color[1])) for color in (against, in_favor)]
    assert -90 < hue[0] < -50
    assert 55 < hue[1] < 90


def test_zero_and_no_opacity_leave_the_picture():
    picture = np.random.default_rng(0).random((4, 5, 3))
    for relative, opacity in ((0.0, 1), (np.nan, 1), (0.7, 0)):
        drawn = tinted(picture, np.full((4, 5), relative), opacity)
        assert drawn == pytest.approx(picture, abs=1e-6)


def test_equal_steps_of_the_map_are_equal_steps_of_color_over_a_middle_gray():
    colors = colored(VALUES, MIDDLE)
    steps = difference(colors[1:], colors[:-1])
    below, above = steps[:100], steps[100:]
    for side in (below, above):
        assert side.max() / side.min() < 1.25
    assert above.sum() / below.sum() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("gray", [BLACK, WHITE])
@pytest.mark.parametrize("seen_as", [np.asarray, deuteranope])
def test_over_dark_and_bright_tissue_stronger_is_further_from_the_tissue(gray, seen_as):
    colors = seen_as(colored(VALUES, gray))
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
        against, in_favor = seen_as(colored([-strength, strength], gray))[:, None]
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
