"""What a transform of one's own does is measured."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2

from captum_clustered.data import as_preprocessing, make_preprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TO_TENSOR = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]


def of(*steps, mean=MEAN, std=STD):
    return v2.Compose([*steps, *TO_TENSOR, v2.Normalize(mean, std)])


def test_the_whole_image_is_resized():
    found = as_preprocessing(of(v2.Resize((96, 96))))
    assert (found.size, found.resize, found.n_channels) == (96, (96, 96), 3)
    assert (found.mean, found.std) == (MEAN, STD)
    assert found.guesses == ()


@pytest.mark.parametrize(("side", "size"), [(256, 224), (232, 224), (480, 448), (64, 64), (33, 32)])
def test_the_center_is_cropped(side, size):
    found = as_preprocessing(of(v2.Resize(side), v2.CenterCrop(size)))
    assert (found.size, found.resize) == (size, (side,))


def test_a_square_is_cropped():
    found = as_preprocessing(v2.Compose([v2.Resize((300, 300)), v2.CenterCrop(260), *TO_TENSOR]))
    assert (found.size, found.resize) == (260, (300, 300))
    assert (found.mean, found.std) == ((0, 0, 0), (1, 1, 1))
    assert found.description == (
        "Compose: resized to 300 x 300, center cropped to 260 x 260, values from 0 to 1"
    )


def test_masks_and_maps_move_as_with_the_weights_of_torchvision():
    preset = ResNet18_Weights.DEFAULT.transforms
    found, expected = as_preprocessing(preset()), make_preprocessing(preset)
    mask = torch.zeros(60, 80, dtype=torch.bool)
    mask[10:40, 20:50] = True
    assert torch.equal(found.mask(mask), expected.mask(mask))
    assert torch.equal(found.to_image(mask, (60, 80)), expected.to_image(mask, (60, 80)))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
    np.testing.assert_array_equal(found.picture(found(image)), expected.picture(expected(image)))


def test_gray_values_from_minus_one_to_one():
    found = as_preprocessing(of(v2.Resize((32, 32)), v2.Grayscale(), mean=[0.5], std=[0.5]))
    assert (found.n_channels, found.mean, found.std) == (1, (0.5,), (0.5,))
    assert "resized to 32 x 32, gray, values from 0 to 1, minus 0.5, divided by 0.5" in (
        found.description
    )


def test_a_normalization_of_each_image_is_not_known_and_its_picture_is_stretched():
    def standardized(image):
        values = torch.from_numpy(np.asarray(image.resize((8, 8)), np.float32)).permute(2, 0, 1)
        return (values - values.mean()) / (values.std() + 1e-6)

    found = as_preprocessing(standardized)
    assert (found.mean, found.std, found.resize) == ((), (), None)
    assert "not known" in found.description
    values = np.repeat(np.arange(8, dtype=np.uint8)[None, :, None] * 10 + 50, 3, 2)
    picture = found.picture(found(Image.fromarray(np.broadcast_to(values, (8, 8, 3)))))
    # 50 becomes black and 120 white.
    np.testing.assert_array_equal(picture[0, :, 0], np.rint(np.arange(8) / 7 * 255))
    with pytest.raises(ValueError, match=r"not known where .*standardized places an image"):
        found.mask(torch.ones(8, 8, dtype=torch.bool))


@pytest.mark.parametrize(
    "step", [v2.Lambda(lambda image: image.crop((0, 0, 100, 100))), v2.Pad((0, 64))]
)
def test_another_part_of_the_image_is_not_known(step):
    assert as_preprocessing(of(step, v2.Resize((96, 96)))).resize is None


def test_a_preprocessing_stays_what_it_is():
    preprocessing = make_preprocessing(size=8)
    assert as_preprocessing(preprocessing) is preprocessing


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (of(v2.RandomCrop(64)), "Compose is random; give the transform of evaluation"),
        (of(v2.Resize((8, 9))), r"must return a float tensor .* it returned \(3, 8, 9\)"),
        (np.asarray, "it returned ndarray"),
        (v2.Resize((8, 8)), "it returned Image"),
        (lambda image: image.nothing, "fails: AttributeError"),
    ],
)
def test_mistakes(transform, message):
    with pytest.raises(ValueError, match=message):
        as_preprocessing(transform)
