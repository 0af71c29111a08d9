import numpy as np
import pytest

from captum_clustered.visualization.interpolation import placed

MAP = np.arange(6.0).reshape(2, 3)


def random_maps(n):
    """Maps of layers of many shapes, with peaks inside and at borders, of both signs."""
    rng = np.random.default_rng(0)
    for _ in range(n):
        shape = rng.integers(1, 15, 2)
        yield rng.normal(size=shape) ** 3


class TestModes:
    def test_nearest_repeats(self):
        expected = MAP.repeat(2, axis=0).repeat(3, axis=1)
        assert (placed(MAP, (4, 9), "nearest") == expected).all()

    def test_bilinear_is_between_the_centers(self):
        assert placed(np.array([[0.0, 4.0]]), (1, 4), "bilinear") == pytest.approx(
            np.array([[0, 1, 3, 4]])
        )

    def test_of_the_images_size_it_is_the_map_itself(self):
        assert (placed(MAP, (2, 3), "bicubic") == MAP).all()

    def test_other_modes_are_refused(self):
        with pytest.raises(ValueError, match=r"interpolate_mode='lin.*must be 'smooth' or "):
            placed(MAP, (4, 6), "linear")


class TestSmooth:
    def test_no_value_is_larger_or_smaller_than_those_of_the_layer(self):
        for values in random_maps(200):
            drawn = placed(values, (45, 60))
            assert values.min() - 1e-12 <= drawn.min()
            assert drawn.max() <= values.max() + 1e-12

    @pytest.mark.parametrize("factor", [3, 15])
    def test_the_layers_values_stay_at_their_places(self, factor):
        # With an odd factor, the middle of each of the layer's positions is the middle of a pixel.
        for values in random_maps(200):
            drawn = placed(values, (factor * values.shape[0], factor * values.shape[1]))
            middle = factor // 2
            assert drawn[middle::factor, middle::factor] == pytest.approx(values, abs=1e-12)

    def test_the_maximum_of_the_picture_is_where_the_layers_is(self):
        for values in random_maps(200):
            drawn = placed(values, (224, 224))
            for best in (np.argmax, np.argmin):
                found = np.array(np.unravel_index(best(drawn), drawn.shape)) + 0.5
                place = np.array(np.unravel_index(best(values), values.shape)) + 0.5
                cell = 224 / np.array(values.shape)
                # Within a pixel of the middle of the layer's position, or up to the border.
                at_border = (place == 0.5) | (place == np.array(values.shape) - 0.5)
                reach = np.where(at_border, cell / 2, 1)
                assert (np.abs(found - place * cell) <= reach + 1e-9).all()

    def test_around_a_peak_levels_are_round_where_bilinear_makes_a_star(self):
        values = np.zeros((5, 5))
        values[2, 2] = 1
        reach = {}
        for mode in ("smooth", "bilinear"):
            # One unit of the layer is 101 pixels; the middle is pixel 252.
            high = placed(values, (505, 505), mode) >= 0.25
            straight = high[252, 252:].sum() / 101
            diagonal = np.diag(high)[252:].sum() / 101 * np.sqrt(2)
            reach[mode] = diagonal / straight
        assert reach["smooth"] == pytest.approx(1.06, abs=0.02)
        # (1 - d)^2 = 1/4 on the diagonal, 1 - d = 1/4 along the axis.
        assert reach["bilinear"] == pytest.approx(0.5 * np.sqrt(2) / 0.75, abs=0.02)

    def test_what_falls_towards_the_border_goes_on_to_fall(self):
        column = np.array([[0.4], [1.0], [0.0], [0.0]])
        drawn = placed(column, (400, 1))[:, 0]
        # From 0.4 in the middle of the first position, which is 100 pixels long, towards zero.
        assert (np.diff(drawn[:150]) > 0).all()
        assert 0 <= drawn[0] < 0.25
        assert placed(column[::-1], (400, 1))[::-1, 0] == pytest.approx(drawn)

    def test_what_rises_towards_the_border_stays_as_high(self):
        drawn = placed(np.array([[1.0], [0.4], [0.0]]), (300, 1))[:, 0]
        assert drawn[:50] == pytest.approx(np.ones(50))

    def test_a_map_larger_than_the_image_is_averaged(self):
        assert placed(np.arange(8.0).reshape(2, 4), (1, 2)) == pytest.approx(np.array([[2.5, 4.5]]))


class TestSeen:
    def test_the_map_lies_where_the_network_saw_the_image(self):
        drawn = placed(MAP, (4, 6), "nearest", (0.25, 0.5, 0.75, 1.0))
        assert (drawn[1:3, 3:] == MAP).all()
        assert np.isnan(drawn).sum() == 4 * 6 - 6

    def test_what_lies_in_the_padding_is_left_out(self):
        # The image is the middle third of the input.
        drawn = placed(MAP, (2, 1), "nearest", (0.0, -1.0, 1.0, 2.0))
        assert (drawn == MAP[:, 1:2]).all()

    @pytest.mark.parametrize(
        "seen", [(0, 0, 0, 1), (0, 1, 1, 1), (0.5, 0, 0.25, 1), (1.5, 0, 2, 1)]
    )
    def test_what_is_no_part_of_the_image_is_refused(self, seen):
        with pytest.raises(
            ValueError, match=r"seen must be \(top, left, bottom, right\) in shares"
        ):
            placed(MAP, (4, 6), "smooth", seen)
