import pytest
import torch

from captum_clustered import tokens_to_map
from captum_clustered.tokens import token_grid


def test_patches_become_rows_and_columns_without_the_prefix():
    attribution = torch.arange(2 * 7.0).view(2, 1, 7)
    heatmap = tokens_to_map(attribution, (2, 3), n_prefix=1)
    assert heatmap.tolist()[0] == [[[1, 2, 3], [4, 5, 6]]]
    assert heatmap.shape == (2, 1, 2, 3)
    assert tokens_to_map(attribution, (7,)).shape == (2, 1, 7)


@pytest.mark.parametrize(
    ("shape", "grid", "n_prefix"),
    [((2, 1, 7), (2, 3), 0), ((2, 1, 7), (3, 3), -2), ((2, 7), (7,), 0)],
)
def test_what_does_not_fit_is_refused(shape, grid, n_prefix):
    with pytest.raises(ValueError, match="attribution must have shape"):
        tokens_to_map(torch.zeros(shape), grid, n_prefix)


def test_a_grid_is_a_tuple():
    with pytest.raises(TypeError, match="grid must be a tuple"):
        tokens_to_map(torch.zeros(1, 1, 4), 4)


class TestTokenGrid:
    @pytest.mark.parametrize(
        ("n_tokens", "expected"),
        [(196, (14, 0)), (197, (14, 1)), (4, (2, 0)), (5, (2, 1)), (198, None), (1, None)],
    )
    def test_square_with_or_without_class_token(self, n_tokens, expected):
        assert token_grid(n_tokens) == expected
