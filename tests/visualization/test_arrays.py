import numpy as np
import pytest
import torch
from PIL import Image

from captum_clustered.visualization.arrays import (
    as_map,
    as_mask,
    as_picture,
    backdrop,
    resized,
)

MAP = np.arange(6.0).reshape(2, 3)
COLORS = np.arange(24).reshape(2, 4, 3)


class TestMap:
    @pytest.mark.parametrize(
        "attr",
        [
            MAP,
            MAP[None],
            MAP[None, None],
            MAP[:, :, None],
            MAP.tolist(),
            torch.tensor(MAP),
            torch.tensor(MAP)[None],
            torch.tensor(MAP, requires_grad=True)[None, None],
            torch.tensor(MAP, dtype=torch.bfloat16),
            torch.tensor(MAP, dtype=torch.int64),
        ],
    )
    def test_shapes_and_types_that_are_one_map(self, attr):
        assert (as_map(attr) == MAP).all()

    def test_a_row_or_column_of_positions_keeps_its_shape(self):
        assert as_map(torch.zeros(1, 1, 5, 1)).shape == (5, 1)
        assert as_map(torch.zeros(1, 1, 1, 5)).shape == (1, 5)
        assert as_map(np.zeros((1, 5, 1))).shape == (1, 5)
        assert as_map(torch.zeros(1, 1)).shape == (1, 1)

    @pytest.mark.parametrize(
        "shape", [(3, 4, 4), (2, 1, 4, 4), (1, 3, 4, 4), (4,), (0, 4), (1, 1, 2, 4, 4)]
    )
    def test_what_is_no_single_map_is_refused(self, shape):
        with pytest.raises(ValueError, match=r"attr must be the map of one example.*got \("):
            as_map(torch.zeros(shape))

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_values_that_are_not_finite_are_counted(self, value):
        with pytest.raises(ValueError, match="attr must be finite; 1 of its 6 values"):
            as_map(np.where(MAP == 3, value, MAP))


class TestPicture:
    def test_tensors_have_channels_first_and_arrays_last(self):
        array = as_picture(COLORS.astype(np.uint8))
        tensor = torch.tensor(COLORS, dtype=torch.uint8).permute(2, 0, 1)
        assert array == pytest.approx(COLORS / 255)
        for same in (tensor, tensor[None], tensor.float()):
            assert as_picture(same) == pytest.approx(array)

    @pytest.mark.parametrize(
        "gray",
        [
            MAP / 5,
            MAP[:, :, None] / 5,
            MAP * 51,
            (MAP * 51).astype(np.uint8),
            torch.tensor(MAP / 5)[None, None],
            torch.tensor(MAP / 5),
            Image.fromarray((MAP * 51).astype(np.uint8)),
        ],
    )
    def test_gray_has_three_equal_channels(self, gray):
        assert as_picture(gray) == pytest.approx(np.repeat(MAP[..., None] / 5, 3, axis=2))

    @pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK"])
    def test_pillows_other_kinds_of_colors_are_converted(self, mode):
        red = Image.new("RGB", (3, 2), (255, 0, 0)).convert(mode)
        assert as_picture(red) == pytest.approx(np.tile([1.0, 0, 0], (2, 3, 1)))

    def test_a_dark_picture_of_integers_stays_dark(self):
        assert as_picture(np.ones((2, 2), np.uint8)) == pytest.approx(np.full((2, 2, 3), 1 / 255))

    def test_rounding_errors_of_interpolation_are_cut_off(self):
        picture = as_picture(np.array([[-1e-6, 1 + 1e-6]]))
        assert picture.min() == 0
        assert picture.max() == 1

    @pytest.mark.parametrize("values", [[[-1.5, 0.3]], [[0, 300]], [[0.0, 4095.0]]])
    def test_other_ranges_are_refused_with_what_they_are(self, values):
        with pytest.raises(ValueError, match=r"in \[0, 1\] or from 0 to 255.*got values from"):
            as_picture(np.array(values))

    @pytest.mark.parametrize("shape", [(2, 3, 4, 4), (4, 4, 4), (2, 4, 4), (4,), (3, 0, 4)])
    def test_what_is_no_image_is_refused(self, shape):
        with pytest.raises(ValueError, match=r"original_image must be one image.*got Tensor of"):
            as_picture(torch.zeros(shape))

    def test_values_that_are_not_finite_are_refused(self):
        with pytest.raises(ValueError, match="original_image must be finite"):
            as_picture(np.array([[np.nan, 0]]))


def test_masks_are_what_is_not_zero():
    assert (as_mask(torch.tensor([[[0, 255, 1]]]), (1, 3)) == [[False, True, True]]).all()


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"mask must have the height .* \(3, 4\); got \(4, 3\)"):
        as_mask(np.zeros((4, 3)), (3, 4))


class TestResized:
    def test_nearest_repeats(self):
        expected = MAP.repeat(2, axis=0).repeat(3, axis=1)
        assert (resized(MAP, (4, 9), "nearest") == expected).all()

    def test_bilinear_is_between_the_centers(self):
        assert resized(np.array([[0.0, 4.0]]), (1, 4), "bilinear") == pytest.approx(
            np.array([[0, 1, 3, 4]])
        )

    def test_of_the_images_size_it_is_the_map_itself(self):
        assert (resized(MAP, (2, 3), "bicubic") == MAP).all()

    def test_other_modes_are_refused(self):
        with pytest.raises(ValueError, match=r"interpolate_mode='lin.*must be 'nearest' or "):
            resized(MAP, (4, 6), "linear")


def test_the_backdrop_is_gray_and_in_the_middle():
    gray = backdrop(np.array([[[0.0, 0, 0], [1, 1, 1], [1, 0, 0]]]))
    assert gray[0, :, 0] == pytest.approx([0.2, 0.65, 0.2 + 0.45 * 0.299])
    assert (gray == gray[..., :1]).all()
