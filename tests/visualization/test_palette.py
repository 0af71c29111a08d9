import numpy as np
import pytest

from captum_clustered.visualization.palette import TABLE, to_rgba

VALUES = np.linspace(-1, 1, 201)


def over(rgba, picture):
    """Luma (Rec. 601, as printers have it) of colors over a gray of the picture's range."""
    opacity = rgba[..., 3]
    return opacity * (rgba[..., :3] @ [0.299, 0.587, 0.114]) + (1 - opacity) * picture


def test_opacity_is_the_distance_from_zero():
    assert to_rgba(VALUES)[:, 3] == pytest.approx(0.85 * np.abs(VALUES))


@pytest.mark.parametrize("picture", [0.2, 0.4, 0.65])
def test_signs_are_told_apart_in_gray(picture):
    luma = over(to_rgba([-1, -0.5, 0.5, 1]), picture)
    assert luma[1] < picture + 0.05
    assert luma[2] > picture
    # Nothing in the picture is as dark, or as bright, as the ends of the scale.
    assert luma[0] < 0.2
    assert luma[3] > 0.75


def test_lightness_grows_from_end_to_end():
    assert (np.diff(over(to_rgba(VALUES), 0.42)) > 0).all()


def test_signs_differ_in_blue_against_yellow_for_the_color_blind():
    # Protanopes and deuteranopes see the difference of blue to the mean of red and green.
    rgba = to_rgba([-0.25, 0.25])
    blueness = rgba[:, 2] - rgba[:, :2].mean(1)
    assert blueness[0] > 0.3
    assert blueness[1] < -0.3


def test_what_lies_outside_has_the_color_of_the_end():
    assert (to_rgba([-7, 7]) == to_rgba([-1, 1])).all()


def test_the_table_is_the_function():
    assert TABLE.shape == (256, 4)
    assert TABLE.dtype == np.uint8
    assert TABLE[128, 3] == 0
    assert (TABLE[0] == TABLE[1]).all()
    for relative in (-1, -64 / 127, 32 / 127, 1):
        entry = TABLE[128 + round(127 * relative)]
        assert (entry == np.round(255 * to_rgba(relative))).all()
