import numpy as np
import pytest
from PIL import Image

from captum_clustered.data.masks import Boxes, MaskFile, Polygons


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("value", [1, 255])
def test_a_file_is_a_mask_where_it_is_not_zero(tmp_path, mode, value):
    values = np.zeros((4, 5), dtype=np.uint8)
    values[1:3, 2:4] = value
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette([0, 0, 0] * 256)  # all black: the index counts
    elif mode == "1":
        image = Image.fromarray(values > 0)
    elif mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16) * 256)
    else:
        image = image.convert(mode)
    assert image.mode == mode
    image.save(tmp_path / "mask.png")
    mask = MaskFile(tmp_path / "mask.png").draw((5, 4))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, values > 0)


def test_outlines_that_overlap_are_not_drawn_twice():
    outlines = (((0, 0), (3, 0), (3, 3), (0, 3)), ((2, 2), (4, 2), (4, 4), (2, 4)))
    assert Polygons(outlines).draw((8, 6)).sum() == 16 + 9 - 4


def test_boxes_include_their_edges():
    mask = Boxes(((1, 2, 3, 4),)).draw((8, 6))
    assert mask.shape == (6, 8)
    assert mask.sum() == mask[2:5, 1:4].sum() == 9
