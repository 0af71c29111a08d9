import pytest
import torch

from captum_clustered._clustering.features import channel_first, channel_rows


def test_rows_have_unit_length_and_dead_channels_stay_zero():
    rows = channel_rows(torch.tensor([[[[3.0, 0.0], [4.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]]))
    expected = torch.tensor([[[0.6, 0.0, 0.8, 0.0], [0.0, 0.0, 0.0, 0.0]]])
    torch.testing.assert_close(rows, expected)


def test_a_single_position_is_left_as_it_is():
    values = torch.tensor([[2.0, -3.0]])
    assert torch.equal(channel_rows(values), values[..., None])
    assert torch.equal(channel_rows(values[..., None, None]), values[..., None])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_clustered_in_float32(dtype):
    # The squares of these do not fit in float16.
    rows = channel_rows(torch.full((1, 2, 4), 6e4, dtype=dtype))
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows, torch.full((1, 2, 4), 0.5))


def test_very_small_values_still_have_a_direction():
    rows = channel_rows(torch.tensor([[[1e-15, 0.0], [0.0, 2e-15]]]))
    torch.testing.assert_close(rows, torch.eye(2)[None])


def test_channels_come_first():
    tokens = torch.rand(2, 5, 3)
    assert torch.equal(channel_first(tokens, -1), tokens.transpose(1, 2))
