"""The way into the network and what it sees."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights
from torchvision.transforms._presets import ImageClassification

from captum_clustered.data.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    make_preprocessing,
)

PRESET = ResNet18_Weights.DEFAULT.transforms
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))


class TestFactory:
    def test_whole_picture_with_imagenet_statistics(self):
        preprocessing = make_preprocessing(None, size=48)
        inputs = preprocessing(NOISE)[None]
        resized = np.asarray(NOISE.resize((48, 48), Image.Resampling.BILINEAR))
        expected = (resized / 255 - IMAGENET_MEAN) / IMAGENET_STD
        assert preprocessing.input_shape == inputs.shape == (1, 3, 48, 48)
        np.testing.assert_allclose(inputs[0].permute(1, 2, 0), expected, atol=1e-5)

    def test_usual_size(self):
        assert make_preprocessing(None).size == 224

    def test_one_number_for_all_channels(self):
        preprocessing = make_preprocessing(None, size=8, mean=(0.5,), std=(0.25,))
        white = preprocessing(Image.new("RGB", (9, 9), "white"))[None]
        assert torch.equal(white, torch.full((1, 3, 8, 8), 2.0))

    def test_grayscale_network(self):
        preprocessing = make_preprocessing(None, n_channels=1, size=8)
        inputs = preprocessing(Image.new("RGB", (9, 9), (255, 0, 0)))[None]
        expected = (76 / 255 - sum(IMAGENET_MEAN) / 3) / (sum(IMAGENET_STD) / 3)
        assert inputs.shape == (1, 1, 8, 8)
        np.testing.assert_allclose(inputs, expected, atol=1e-5)
        assert (preprocessing.picture(inputs) == 76).all()
        assert preprocessing.picture(inputs).shape == (8, 8, 3)

    def test_three_numbers_for_a_grayscale_network(self):
        with pytest.raises(ValueError, match=r"mean has 3 numbers.*1 channel\."):
            make_preprocessing(None, n_channels=1, mean=(0.1, 0.2, 0.3))


class TestPreset:
    def test_is_that_of_the_weights(self):
        assert torch.equal(make_preprocessing(PRESET)(NOISE), PRESET()(NOISE))

    def test_size_keeps_the_margin(self):
        # 64 of 224 * 256 are resized to 73, of which the middle is cut out.
        expected = PRESET(crop_size=64, resize_size=73)(NOISE)
        assert torch.equal(make_preprocessing(PRESET, size=64)(NOISE), expected)

    def test_statistics_are_replaced(self):
        preprocessing = make_preprocessing(PRESET, mean=(0.0,), std=(1.0,))
        white = preprocessing(Image.new("RGB", (9, 9), "white"))[None]
        assert torch.equal(white, torch.ones(1, 3, 224, 224))


class TestPicture:
    @pytest.mark.parametrize("preset", [None, PRESET])
    def test_is_what_the_network_sees(self, preset):
        preprocessing = make_preprocessing(preset, size=48)
        picture = preprocessing.picture(preprocessing(NOISE))
        again = torch.from_numpy(picture).permute(2, 0, 1) / 255
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        assert picture.dtype == np.uint8
        assert picture.shape == (48, 48, 3)
        torch.testing.assert_close((again - mean) / std, preprocessing(NOISE))


class TestTheWayBack:
    """Maps of the input, back on the image."""

    def test_whole_image(self):
        # Columns 0 and 1 of 4 are on; the image is 6 x 8.
        values = torch.zeros(1, 1, 4, 4)
        values[..., :2] = 1
        found = make_preprocessing(size=4).to_image(values > 0, (6, 8))
        assert found.shape == (1, 1, 6, 8)
        assert found.dtype is torch.bool
        assert torch.equal(found[0, 0], (torch.arange(8) < 4).expand(6, 8))

    def test_a_map_of_a_layer_covers_the_whole_input(self):
        values = torch.tensor([[1.0, 1.0], [3.0, 3.0]])
        found = make_preprocessing(size=4).to_image(values, (4, 2))
        # Bilinear between the centers of the two rows, at 0.25 and 0.75 of the height.
        expected = torch.tensor([1.0, 1.5, 2.5, 3.0])[:, None].expand(4, 2)
        torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize(("size", "wide"), [((32, 64), True), ((64, 32), False)])
    def test_what_was_cropped_has_not_been_seen(self, size, wide):
        # Resized to 32 x 64 or 64 x 32, of which the middle 24 x 24 is cut out.
        preset = partial(ImageClassification, crop_size=24, resize_size=32)
        preprocessing = make_preprocessing(preset)
        found = preprocessing.to_image(torch.ones(24, 24), size, fill=float("nan"))
        short, long = slice(4, 28), slice(20, 44)
        expected = torch.full(size, float("nan"))
        expected[(short, long) if wide else (long, short)] = 1
        torch.testing.assert_close(found, expected, equal_nan=True)

    def test_an_image_smaller_than_the_crop_was_padded(self):
        preset = partial(ImageClassification, crop_size=8, resize_size=4)
        preprocessing = make_preprocessing(preset)
        values = torch.zeros(8, 8, dtype=torch.bool)
        values[2:6, 2:6] = True
        assert preprocessing.to_image(values, (4, 4)).all()

    @pytest.mark.parametrize("size", [(60, 80), (80, 60), (45, 100)])
    @pytest.mark.parametrize("preset", [None, PRESET])
    def test_is_the_inverse_of_the_way_of_a_mask(self, preset, size):
        preprocessing = make_preprocessing(preset, size=96)
        mask = torch.zeros(size, dtype=torch.bool)
        mask[18:38, 32:50] = True
        back = preprocessing.to_image(preprocessing.mask(mask), size)
        # Pixels at the edge may round the other way.
        inner, outer = mask.clone(), mask.clone()
        inner[:19] = inner[37:] = inner[:, :33] = inner[:, 49:] = False
        outer[17:39, 31:51] = True
        assert back[inner].all()
        assert not back[~outer].any()

    def test_a_mask_lies_where_its_image_does(self):
        values = np.zeros((60, 80), np.uint8)
        values[10:40, 20:56] = 255
        preset = partial(ImageClassification, crop_size=24, resize_size=32)
        for preprocessing in (
            make_preprocessing(preset, mean=(0.0,), std=(1.0,)),
            make_preprocessing(size=24, mean=(0.0,), std=(1.0,)),
        ):
            inputs = preprocessing(Image.fromarray(values).convert("RGB"))
            mask = preprocessing.mask(torch.from_numpy(values > 0))
            # Only at the edge, half-way between, may rounding differ.
            clear = (inputs[0] - 0.5).abs() > 0.25
            assert clear.float().mean() > 0.7
            assert torch.equal(mask[clear], inputs[0][clear] > 0.5)

    def test_what_is_seen_of_an_image_in_shares_of_its_sides(self):
        assert make_preprocessing(size=24).seen((45, 100)) == (0, 0, 1, 1)
        # Resized to 32 x 64, of which rows 4 to 28 and columns 20 to 44 are cut out.
        crop = make_preprocessing(partial(ImageClassification, crop_size=24, resize_size=32))
        assert crop.seen((10, 20)) == (4 / 32, 20 / 64, 28 / 32, 44 / 64)
        # Resized to 4 x 4 and padded to 8 x 8.
        padded = make_preprocessing(partial(ImageClassification, crop_size=8, resize_size=4))
        assert padded.seen((30, 30)) == (-0.5, -0.5, 1.5, 1.5)

    @pytest.mark.parametrize("size", [(0, 4), (4,)])
    def test_a_size_that_is_none_is_an_error(self, size):
        with pytest.raises(ValueError, match="must be the image's height and width"):
            make_preprocessing().to_image(torch.ones(7, 7), size)


@pytest.mark.parametrize("std", [(0.0,), (0.2, 0.0, 0.2), (-1.0,), (float("nan"),)])
def test_no_channel_is_divided_by_zero(std):
    with pytest.raises(ValueError, match="must be above 0"):
        make_preprocessing(std=std)
