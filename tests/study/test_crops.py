import pytest
import torch
from PIL import Image
from study.crops import SquareCrop
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional


def cropped(margin, box, size=(20, 30)):
    """Where the crop of a lesion (top, left, bottom, right) in (height, width) begins, its mask."""
    top, left, bottom, right = box
    mask = torch.zeros(1, *size, dtype=torch.uint8)
    mask[0, top:bottom, left:right] = 1
    # The value of a pixel says where it is: 8 * row + column.
    values = 8 * torch.arange(size[0])[:, None] + torch.arange(size[1])
    image = functional.to_pil_image(values.to(torch.uint8)[None])
    found, label, inside = SquareCrop(margin)(image, 1, tv_tensors.Mask(mask))
    assert label == 1
    assert isinstance(found, Image.Image)
    assert isinstance(inside, tv_tensors.Mask)
    assert found.size == inside.shape[:0:-1]
    return functional.pil_to_tensor(found)[0], inside[0]


def test_a_margin_is_a_part_of_the_longer_side_on_each_side():
    # 4 rows and 8 columns: 8 * (1 + 2 / 4) = 12, centered at row 10 and column 14.
    pixels, inside = cropped(0.25, (8, 10, 12, 18))
    assert pixels.shape == (12, 12)
    assert pixels[0, 0] == 8 * 4 + 8
    assert inside.nonzero().amin(0).tolist() == [4, 2]
    assert inside.sum() == 4 * 8


def test_without_a_margin_the_lesion_fills_the_longer_side():
    pixels, inside = cropped(0, (8, 10, 12, 18))
    assert pixels[0, 0] == 8 * 6 + 10
    assert inside.any(0).all()


@pytest.mark.parametrize(
    ("box", "start"),
    [((0, 0, 4, 4), (0, 0)), ((16, 26, 20, 30), (12, 22)), ((8, 0, 12, 4), (6, 0))],
)
def test_near_an_edge_the_crop_is_moved_into_the_image(box, start):
    pixels, inside = cropped(0.5, box)
    assert pixels.shape == (8, 8)
    assert pixels[0, 0] == 8 * start[0] + start[1]
    assert inside.sum() == 16


def test_an_image_that_is_smaller_is_padded_with_black():
    # 24 rows of an image of 20: two above and two below.
    pixels, inside = cropped(0.5, (4, 9, 16, 21))
    assert pixels.shape == (24, 24)
    assert not pixels[:2].any()
    assert not pixels[22:].any()
    assert pixels[2, 0] == 3
    assert inside.sum() == 12 * 12
