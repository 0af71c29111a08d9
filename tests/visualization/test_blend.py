import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2lab

from captum_clustered.visualization import overlay
from captum_clustered.visualization.arrays import backdrop
from captum_clustered.visualization.palette import tinted

IMAGE = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
SIGNED = np.array([[-1.0, 0.0, 0.5, 2.0]])


def expected(opacity=1.0, keep_colors=False, limit=2.0):
    """Each value of the map has three columns of pixels, over all rows."""
    relative = np.repeat(np.repeat(SIGNED, 3, axis=1), 8, axis=0) / limit
    return 255 * tinted(backdrop(IMAGE / 255, keep_colors), relative, opacity)


def lightness(drawn):
    return rgb2lab(drawn)[..., 0]


@pytest.mark.parametrize(
    "options", [{}, {"opacity": 0.2}, {"keep_colors": True}, {"limit": 4.0}, {"opacity": 0}]
)
def test_the_image_is_colored_by_the_strength_of_the_map(options):
    drawn = overlay(IMAGE, SIGNED, interpolate_mode="nearest", **options)
    assert drawn.dtype == np.uint8
    assert drawn == pytest.approx(expected(**options), abs=0.51)


@pytest.mark.parametrize(("lesion", "rim"), [(16, 60), (25, 65), (5, 30), (200, 90), (252, 160)])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("inside", [1.0, 0.1])
def test_a_lesion_stays_darker_or_brighter_than_its_rim_wherever_the_map_is(
    lesion, rim, sign, inside
):
    # Strong in the lesion and weak around it, or the other way round.
    image, values = np.full((30, 30), rim, np.uint8), np.full((30, 30), 1.1 - inside)
    image[10:20, 10:20], values[10:20, 10:20] = lesion, inside
    drawn = lightness(overlay(image, sign * values, limit=1))
    plain = lightness(overlay(image, np.zeros((2, 2))))
    # Rounding to 8 bits alone.
    assert np.abs(drawn - plain).max() < 0.5
    contrast = lightness(np.stack([image] * 3, -1))[10, [0, 10]] @ [1, -1]
    # More than half of the contrast remains, in the same direction.
    assert (drawn[10, 0] - drawn[10, 10]) / contrast > 0.5


def test_a_photograph_keeps_its_luminance_in_its_own_colors():
    drawn = overlay(IMAGE, SIGNED, keep_colors=True)
    assert np.abs(lightness(drawn) - lightness(IMAGE)).max() < 0.7


def test_images_of_any_kind_and_range_look_the_same():
    same = overlay(IMAGE, SIGNED)
    first = torch.tensor(IMAGE).permute(2, 0, 1)
    for image in (Image.fromarray(IMAGE), first, first[None], first / 255, IMAGE / 255.0):
        assert (overlay(image, torch.tensor(SIGNED)[None, None]) == same).all()
    # Stretched from the lowest value to the highest, as 12 bits in 16 are, or a normalized image.
    full = IMAGE.copy()
    full[0, 0] = 0, 255, 0
    same = overlay(full, SIGNED)
    for image in (full.astype(np.int32) * 16, full / 255.0 * 4 - 2):
        assert np.abs(overlay(image, SIGNED).astype(int) - same).max() <= 1


def test_a_zero_map_shows_the_image():
    drawn = overlay(IMAGE, np.zeros((2, 2)), keep_colors=True)
    assert (drawn == IMAGE).all()


def test_outlines_leave_the_image_between_them_as_it_is():
    gray = np.full((100, 100), 128, np.uint8)
    values = np.zeros((4, 4))
    values[1, 1], values[2, 3] = 1, -1
    drawn = overlay(gray, values, outline=True, interpolate_mode="nearest")
    plain = overlay(gray, np.zeros((2, 2)))
    changed = (drawn != plain).any(axis=2)
    inside = np.zeros((100, 100), bool)
    inside[25:50, 25:50] = inside[50:75, 75:] = True
    edge = np.zeros((100, 100), bool)
    for rows, columns in ((slice(25, 50), slice(25, 50)), (slice(50, 75), slice(75, 100))):
        edge[rows, columns] = True
        edge[rows.start + 1 : rows.stop - 1, columns.start + 1 : columns.stop - 1] = False
    assert not (changed & inside & ~edge).any()
    # A solid line in favor of the class, also at the border of the image a dashed one against it.
    yellow, blue = ((drawn == color).all(axis=2) for color in ((255, 205, 30), (0, 195, 255)))
    assert yellow.sum() == 4 * 24
    assert 0.25 * 4 * 24 < blue.sum() < 0.75 * 4 * 24
    assert blue[50:75, 99].any()


def test_the_outline_of_the_object_is_white():
    mask = np.zeros((8, 12))
    mask[2:6, 3:9] = 1
    drawn = overlay(np.zeros((8, 12)), np.zeros((2, 2)), mask=mask)
    white = (drawn == 255).all(axis=2)
    assert white.sum() == 2 * 4 + 2 * 6 - 4
    assert not white[3:5, 4:8].any()


def test_what_the_network_did_not_see_has_no_color_of_the_map():
    drawn = overlay(IMAGE, np.ones((2, 2)), seen=(0, 0.5, 1, 1)).astype(int)
    left, right = np.ptp(drawn, axis=2)[:, :6], np.ptp(drawn, axis=2)[:, 6:]
    assert left.max() == 0
    assert right.min() > 50


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"opacity=1\.5 must be a number from 0 to 1"):
        overlay(IMAGE, SIGNED, opacity=1.5)
    with pytest.raises(ValueError, match="opacity='high' must be a number"):
        overlay(IMAGE, SIGNED, opacity="high")
    with pytest.raises(ValueError, match="attribution must be the map of one example"):
        overlay(IMAGE, np.ones((2, 3, 4, 4)))
    with pytest.raises(ValueError, match="limit must be a positive number; got 0"):
        overlay(IMAGE, SIGNED, limit=0)
    with pytest.raises(ValueError, match="mask must have the height and width"):
        overlay(IMAGE, SIGNED, mask=np.ones((2, 2)))
