import numpy as np
import pytest
import torch
from PIL import Image

from captum_clustered.visualization.arrays import (
    as_map,
    as_mask,
    as_picture,
    backdrop,
    hatched,
    stretched,
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


def test_the_backdrop_is_gray_and_neither_black_nor_white():
    picture = np.array([[[0.0, 0, 0], [1, 1, 1], [1, 0, 0]]])
    gray = backdrop(picture)
    # Red has the luminance 0.2126, which is a gray of 1.055 * 0.2126 ** (1 / 2.4) - 0.055.
    assert gray[0, :, 0] == pytest.approx([0.2, 0.82, 0.2 + 0.62 * 0.4985], abs=1e-4)
    assert (gray == gray[..., :1]).all()
    assert (backdrop(picture, keep_colors=True) == picture).all()


def test_where_the_network_saw_nothing_there_are_stripes():
    picture = np.full((24, 24, 3), 0.8)
    unseen = np.zeros((24, 24), bool)
    unseen[:, 12:] = True
    drawn = hatched(picture, unseen)
    assert (drawn[:, :12] == 0.8).all()
    # Two levels, both darker: 0.8 * (1 - s) + 0.35 * s for the strengths 0.4 and 0.65.
    assert np.unique(drawn[:, 12:].round(6)) == pytest.approx([0.5075, 0.62])


class TestStretched:
    def test_to_its_own_range(self):
        image = torch.tensor([[[-2.0, 0.0], [1.0, 2.0]]])
        assert stretched(image).tolist() == [[[0.0, 0.5], [0.75, 1.0]]]

    def test_a_gray_scan_stays_gray_though_its_channels_were_normalized_differently(self):
        gray = torch.tensor([[0.0, 0.25], [0.5, 1.0]])
        mean, std = (torch.tensor(v)[:, None, None] for v in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.1]))
        assert torch.allclose(stretched((gray - mean) / std), gray.expand(3, 2, 2))

    def test_colors_are_stretched_together(self):
        image = torch.tensor([[[0.0, 4.0]], [[2.0, 0.0]], [[1.0, 1.0]]])
        assert torch.allclose(stretched(image), image / 4)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 4095.0]], [0, 1]),
        ([[-1.5, 0.5]], [0, 1]),
        (np.array([[0, 65535, 13107]], np.uint16), [0, 1, 0.2]),
        ([[0.0, 0.25]], [0, 0.25]),
        ([[0.0, 51.0]], [0, 0.2]),
    ],
)
def test_any_range_is_shown_if_the_caller_wants_that(values, expected):
    picture = as_picture(np.array(values), any_range=True)
    assert picture == pytest.approx(np.repeat(np.array([expected])[..., None], 3, axis=2))
