import pytest
import torch

from captum_clustered._clustering.features import ChannelGram, channel_features, channel_first


def test_features_have_unit_length_and_dead_channels_stay_zero():
    features = channel_features(
        torch.tensor([[[[3.0, 0.0], [4.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    )
    expected = torch.tensor([[[0.6, 0.0, 0.8, 0.0], [0.0, 0.0, 0.0, 0.0]]])
    torch.testing.assert_close(features, expected)


def test_a_single_position_is_left_as_it_is():
    values = torch.tensor([[2.0, -3.0]])
    assert torch.equal(channel_features(values), values[..., None])
    assert torch.equal(channel_features(values[..., None, None]), values[..., None])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_clustered_in_float32(dtype):
    # The squares of these do not fit in float16.
    features = channel_features(torch.full((1, 2, 4), 6e4, dtype=dtype))
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, torch.full((1, 2, 4), 0.5))


def test_very_small_values_still_have_a_direction():
    features = channel_features(torch.tensor([[[1e-15, 0.0], [0.0, 2e-15]]]))
    torch.testing.assert_close(features, torch.eye(2)[None])


def test_channels_come_first():
    tokens = torch.rand(2, 5, 3)
    assert torch.equal(channel_first(tokens, -1), tokens.transpose(1, 2))


def test_gram_features_have_the_distances_of_all_maps_laid_side_by_side():
    maps = torch.rand(5, 4, 3, 2, dtype=torch.float64)
    gram = ChannelGram()
    gram.add(maps[:3])
    gram.add(maps[3:])
    long = torch.nn.functional.normalize(maps.transpose(0, 1).flatten(1), dim=1)
    features = gram.features()
    assert features.shape == (4, 4)
    torch.testing.assert_close(torch.cdist(features, features), torch.cdist(long, long))


def test_large_images_do_not_count_more():
    small = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]])
    once, enlarged = ChannelGram(), ChannelGram()
    once.add(small[..., None])
    # The two channels disagree in an image that has four times the positions.
    other = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]])
    once.add(other[..., None])
    enlarged.add(small[..., None])
    enlarged.add(other[..., None].repeat(1, 1, 2, 2))
    torch.testing.assert_close(once.features(), enlarged.features())
    assert (once.features()[2] == 0).all()  # a channel dead in all images


def test_a_gram_of_no_image_has_no_features():
    with pytest.raises(ValueError, match="No image was added"):
        ChannelGram().features()
