import numpy as np
import pytest
from matplotlib.figure import Figure

from captum_clustered.visualization.palette import tinted
from captum_clustered.visualization.scale import Scale, draw_color_bar, line_style, signed_text

MAPS = [np.array([[1.0, -3.0]]), np.array([[2.0, 0.0]])]


def bar(scale, label="logit"):
    figure = Figure()
    return draw_color_bar(figure, scale, label, cax=figure.subplots())


def test_it_ends_at_the_largest_absolute_value_of_all_maps():
    assert Scale.of(MAPS) == Scale(3.0, has_negative=True)
    assert Scale.of(MAPS[1:]) == Scale(2.0, has_negative=False)


@pytest.mark.parametrize("maps", [[], [np.zeros((2, 2))]])
def test_nothing_has_a_scale(maps):
    assert Scale.of(maps) == Scale(1.0, has_negative=False)


@pytest.mark.parametrize(
    ("limit", "extend"), [(4, "neither"), (3, "neither"), (2.5, "min"), (1, "both")]
)
def test_a_given_limit_says_what_lies_beyond(limit, extend):
    scale = Scale.of(MAPS, limit)
    assert (scale.limit, scale.extend) == (limit, extend)
    assert bar(scale).extend == extend


def test_a_given_limit_beyond_which_are_positive_values_alone():
    assert Scale.of(MAPS[1:], 1).extend == "max"


def test_there_are_lines_only_at_values_that_a_map_has():
    """A quarter of 3 is 0.75, and no map comes down to minus that."""
    scale = Scale.of([np.array([[3.0, -0.7]])])
    assert scale.levels() == [0.75]
    ticks = [text.get_text() for text in bar(scale).ax.get_yticklabels()]
    assert ticks == [signed_text(value) for value in (-3, 0, 0.75, 3)]
    assert Scale.of([np.array([[3.0, -0.8]])]).levels() == [-0.75, 0.75]


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf"), "two"])
def test_limits_that_are_none(limit):
    with pytest.raises(ValueError, match="limit must be a positive number; got"):
        Scale.of(MAPS, limit)


def test_the_bars_colors_are_the_palettes_over_a_middle_gray():
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    rgba = bar(Scale(2.0)).mappable.to_rgba(values)
    middle = np.full((1, 5, 3), 0.47)
    assert rgba[:, :3] == pytest.approx(tinted(middle, values[None] / 2)[0], abs=0.02)
    assert rgba[2] == pytest.approx([0.47, 0.47, 0.47, 1])


def test_the_bar_shows_each_value_over_dark_to_bright_pixels():
    (image,) = bar(Scale(2.0)).ax.images
    shown = image.get_array()
    assert image.get_extent() == [0, 1, -2, 2]
    for column, gray in ((0, 0.2), (-1, 0.82)):
        pixels = np.full((1, 3, 3), gray)
        expected = tinted(pixels, np.array([[-1.0, 0.0, 1.0]]))[0]
        assert np.asarray(shown[[0, 127, 254], column]) == pytest.approx(expected)


def test_the_bar_is_centered_at_zero_and_named():
    drawn = bar(Scale(0.5), "share of $ or $_")
    assert drawn.ax.get_ylim() == (-0.5, 0.5)
    texts = [tick.get_text() for tick in drawn.ax.get_yticklabels()]
    assert texts == ["\u22120.5", "\u22120.125", "0", "+0.125", "+0.5"]
    assert drawn.ax.get_ylabel() == "share of $ or $_"
    drawn.ax.figure.draw_without_rendering()


def test_the_bar_of_maps_without_negative_values_begins_at_zero():
    assert bar(Scale(0.5, has_negative=False)).ax.get_ylim() == (0, 0.5)


def test_weaker_lines_are_thinner_and_have_the_same_color():
    strong, weak = line_style(0.25), line_style(0.25, strength=0.2)
    assert strong["linewidth"] == 1
    assert weak["linewidth"] == pytest.approx(0.48)
    assert weak["color"] == strong["color"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.2345, "+1.23"),
        (-0.00012345, "\u22120.000123"),
        (-1e-9, "\u22121e\u221209"),
    ],
)
def test_numbers_have_a_sign_as_wide_as_the_other(value, text):
    assert signed_text(value) == text
