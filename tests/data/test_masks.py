import numpy as np
import pytest
import torch
from PIL import Image

from captum_clustered.data import ImageError, read_mask
from captum_clustered.data.masks import draw_boxes, draw_polygons

INSIDE = np.zeros((8, 10), dtype=bool)
INSIDE[2:5, 3:8] = True


def save(path, values, **options):
    Image.fromarray(values).save(path, **options)
    return path


class TestWhatIsNotBlackIsTheObject:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
    @pytest.mark.parametrize("value", [1, 255])
    def test_modes(self, tmp_path, mode, value):
        image = Image.fromarray(INSIDE.astype(np.uint8) * (255 if mode == "1" else value))
        image = image.convert(mode)
        assert image.mode == mode
        image.save(tmp_path / "mask.png")
        mask = read_mask(tmp_path / "mask.png")
        assert mask.dtype is torch.bool
        np.testing.assert_array_equal(mask, INSIDE)

    @pytest.mark.parametrize("value", [1, 255, 256, 65535])
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_sixteen_bits(self, tmp_path, value, suffix):
        path = save(tmp_path / f"mask.{suffix}", INSIDE.astype(np.uint16) * value)
        np.testing.assert_array_equal(read_mask(path), INSIDE)

    @pytest.mark.parametrize("color", [(40, 0, 0), (0, 1, 0), (0, 0, 2)])
    def test_dark_colors_count(self, tmp_path, color):
        # Converted to gray, (0, 1, 0) and (0, 0, 2) would be 0.
        values = INSIDE[..., None] * np.array(color, np.uint8)
        np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", values)), INSIDE)

    @pytest.mark.parametrize("transparency", [None, 2])
    def test_a_palette_counts_by_its_colors(self, tmp_path, transparency):
        # Index 0 is white and 1 black, the object has both of the others.
        indices = np.ones((30, 40), np.uint8)
        indices[5:15, 10:30], indices[15:20, 10:50] = 0, 2
        indices[15:20, 10:50][:, 20:] = 1
        indices[15:25, 10:30] = 2
        image = Image.fromarray(indices, mode="P")
        image.putpalette([255, 255, 255, 0, 0, 0, 40, 0, 0])
        options = {} if transparency is None else {"transparency": transparency}
        image.save(tmp_path / "mask.png", **options)
        mask = read_mask(tmp_path / "mask.png")
        assert mask.sum() == 400
        np.testing.assert_array_equal(mask, indices != 1)

    @pytest.mark.parametrize("value", [255, 90])
    @pytest.mark.parametrize("suffix", ["jpg", "webp"])
    def test_the_blurred_edge_of_a_lossy_format_is_in_its_middle(self, tmp_path, suffix, value):
        rows, columns = np.mgrid[:96, :128]
        disk = (rows - 45) ** 2 / 30**2 + (columns - 60) ** 2 / 40**2 <= 1
        path = save(tmp_path / f"m.{suffix}", disk.astype(np.uint8) * value, quality=75)
        with Image.open(path) as file:
            # Every pixel that is not black would be many more.
            assert (np.asarray(file.convert("L")) > 0).sum() > 1.05 * disk.sum()
        assert (read_mask(path).numpy() != disk).sum() < 0.01 * disk.sum()

    def test_a_lossy_format_may_be_black(self, tmp_path):
        assert not read_mask(save(tmp_path / "m.jpg", np.zeros((8, 8), np.uint8))).any()

    def test_inks_are_colors(self, tmp_path):
        image = Image.fromarray(INSIDE.astype(np.uint8) * 255).convert("RGB").convert("CMYK")
        image.save(tmp_path / "mask.tif")
        np.testing.assert_array_equal(read_mask(tmp_path / "mask.tif"), INSIDE)

    def test_where_zero_is_white(self, tmp_path):
        tifffile = pytest.importorskip("tifffile", reason="comes with scikit-image")
        stored = np.where(INSIDE, 7, 65535).astype(np.uint16)
        tifffile.imwrite(tmp_path / "mask.tif", stored, photometric="miniswhite")
        np.testing.assert_array_equal(read_mask(tmp_path / "mask.tif"), INSIDE)

    def test_it_is_turned_upright(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        path = save(tmp_path / "mask.png", INSIDE.astype(np.uint8), exif=exif)
        np.testing.assert_array_equal(read_mask(path), np.rot90(INSIDE, 3))


class TestSizes:
    def test_another_scale_is_the_same_picture(self, tmp_path):
        path = save(tmp_path / "m.png", np.kron(INSIDE, np.ones((3, 3))).astype(np.uint8))
        np.testing.assert_array_equal(read_mask(path, (10, 8)), INSIDE)
        assert read_mask(path).shape == (24, 30)

    @pytest.mark.parametrize(
        ("mask", "image"),
        # Scaled by 0.3333, 0.5 and 2, rounded and rounded down.
        [
            ((133, 100), (400, 301)),
            ((50, 37), (101, 75)),
            ((50, 37), (101, 74)),
            ((8, 6), (4, 3)),
            ((50, 37), (25, 18)),
        ],
    )
    def test_rounding_is_allowed(self, tmp_path, mask, image):
        path = save(tmp_path / "m.png", np.ones(mask[::-1], np.uint8))
        assert read_mask(path, image).shape == image[::-1]

    @pytest.mark.parametrize("image", [(10, 9), (8, 10), (20, 13), (7, 8)])
    def test_other_proportions_are_an_error(self, tmp_path, image):
        path = save(tmp_path / "m.png", INSIDE.astype(np.uint8))
        message = rf"m\.png is 10 x 8, which does not lie on an image of {image[0]} x {image[1]}"
        with pytest.raises(ImageError, match=message):
            read_mask(path, image)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*m\.png"):
        read_mask(tmp_path / "m.png")
    (tmp_path / "m.png").write_text("no image")
    with pytest.raises(ImageError, match=r"m\.png is not an image"):
        read_mask(tmp_path / "m.png")


def test_outlines_that_overlap_are_not_drawn_twice():
    outlines = (((0, 0), (3, 0), (3, 3), (0, 3)), ((2, 2), (4, 2), (4, 4), (2, 4)))
    assert draw_polygons(outlines, (8, 6)).sum() == 16 + 9 - 4


def test_boxes_include_their_edges():
    mask = draw_boxes([(1, 2, 3, 4)], (8, 6))
    assert mask.shape == (6, 8)
    assert mask.sum() == mask[2:5, 1:4].sum() == 9
