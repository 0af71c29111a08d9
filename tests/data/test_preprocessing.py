"""The way into the network and what it sees."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights

from captum_clustered._errors import UserError
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
        inputs = preprocessing(NOISE)
        resized = np.asarray(NOISE.resize((48, 48), Image.Resampling.BILINEAR))
        expected = (resized / 255 - IMAGENET_MEAN) / IMAGENET_STD
        assert preprocessing.input_shape == inputs.shape == (1, 3, 48, 48)
        np.testing.assert_allclose(inputs[0].permute(1, 2, 0), expected, atol=1e-5)

    def test_usual_size(self):
        assert make_preprocessing(None).size == 224

    def test_one_number_for_all_channels(self):
        preprocessing = make_preprocessing(None, size=8, mean=(0.5,), std=(0.25,))
        white = preprocessing(Image.new("RGB", (9, 9), "white"))
        assert torch.equal(white, torch.full((1, 3, 8, 8), 2.0))

    def test_grayscale_network(self):
        preprocessing = make_preprocessing(None, n_channels=1, size=8)
        inputs = preprocessing(Image.new("RGB", (9, 9), (255, 0, 0)))
        expected = (76 / 255 - sum(IMAGENET_MEAN) / 3) / (sum(IMAGENET_STD) / 3)
        assert inputs.shape == (1, 1, 8, 8)
        np.testing.assert_allclose(inputs, expected, atol=1e-5)
        assert (preprocessing.picture(inputs) == 76).all()
        assert preprocessing.picture(inputs).shape == (8, 8, 3)

    def test_three_numbers_for_a_grayscale_network(self):
        with pytest.raises(UserError, match=r"--mean has 3 numbers.*1 channel\."):
            make_preprocessing(None, n_channels=1, mean=(0.1, 0.2, 0.3))


class TestPreset:
    def test_is_that_of_the_weights(self):
        assert torch.equal(make_preprocessing(PRESET)(NOISE)[0], PRESET()(NOISE))

    def test_size_keeps_the_margin(self):
        # 64 of 224 * 256 are resized to 73, of which the middle is cut out.
        expected = PRESET(crop_size=64, resize_size=73)(NOISE)
        assert torch.equal(make_preprocessing(PRESET, size=64)(NOISE)[0], expected)

    def test_statistics_are_replaced(self):
        preprocessing = make_preprocessing(PRESET, mean=(0.0,), std=(1.0,))
        white = preprocessing(Image.new("RGB", (9, 9), "white"))
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
        torch.testing.assert_close((again - mean) / std, preprocessing(NOISE)[0])
