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
        [
            (196, (14, 0)),
            (197, (14, 1)),
            (4, (2, 0)),
            (5, (2, 1)),
            (198, (14, 2)),
            (261, (16, 5)),
            (195, None),
            (1, None),
        ],
    )
    def test_square_with_or_without_class_token(self, n_tokens, expected):
        assert token_grid(n_tokens) == expected

    def test_several_splits_are_told_apart_by_the_image_or_asked_for(self):
        message = "25 tokens may be 5 x 5 patches behind 0 others or 4 x 4 patches behind 9 others"
        for side in (None, 80):
            with pytest.raises(ValueError, match=f"{message}: give n_prefix"):
                token_grid(25, image_side=side)
        # Patches of 16 and of 10 pixels.
        assert token_grid(25, image_side=64) == (4, 9)
        assert token_grid(25, image_side=50) == (5, 0)
        assert token_grid(25, n_prefix=9) == (4, 9)
        assert token_grid(25, n_prefix=1) is None

    def test_an_image_that_is_not_divided_without_a_rest(self):
        assert token_grid(197, image_side=225) == (14, 1)
