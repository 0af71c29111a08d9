"""Reading pictures of every kind."""

import warnings

import numpy as np
import pytest
from PIL import Image

from captum_clustered.data import ImageError, read_image

RED = (200, 30, 10)


def pixels(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def mode(path):
    """What kind of file a test is really about."""
    with Image.open(path) as file:
        return file.mode


class TestModes:
    @pytest.mark.parametrize(
        ("mode", "color", "expected"),
        [
            ("RGB", RED, RED),
            ("RGBA", (*RED, 255), RED),
            # Half of it on black, and nothing of it.
            ("RGBA", (*RED, 128), (100, 15, 5)),
            ("RGBA", (*RED, 0), (0, 0, 0)),
            ("L", 90, (90, 90, 90)),
            ("LA", (90, 128), (45, 45, 45)),
            ("1", 1, (255, 255, 255)),
        ],
    )
    def test_png(self, tmp_path, mode, color, expected):
        Image.new(mode, (3, 2), color).save(tmp_path / "a.png")
        assert (pixels(tmp_path / "a.png") == expected).all()

    def test_palette(self, tmp_path):
        Image.new("RGB", (3, 2), RED).convert("P", palette=Image.Palette.ADAPTIVE).save(
            tmp_path / "a.png"
        )
        assert mode(tmp_path / "a.png") == "P"
        assert (pixels(tmp_path / "a.png") == RED).all()

    def test_palette_with_transparency_does_not_warn(self, tmp_path):
        image = Image.new("P", (3, 2), 1)
        image.putpalette([0, 0, 0, *RED])
        image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
        with Image.open(tmp_path / "a.png") as file:
            assert file.info["transparency"] == bytes([0, 128])
        assert (pixels(tmp_path / "a.png") == (100, 15, 5)).all()

    def test_cmyk(self, tmp_path):
        Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
        assert mode(tmp_path / "a.jpg") == "CMYK"
        assert np.abs(pixels(tmp_path / "a.jpg").astype(int) - (255, 0, 0)).max() <= 3

    def test_float_is_refused(self, tmp_path):
        Image.new("F", (3, 2), 0.5).save(tmp_path / "a.tiff")
        with pytest.raises(ImageError, match=r"a\.tiff has floating-point pixels \(mode F\)"):
            read_image(tmp_path / "a.tiff")


class TestSixteenBit:
    VALUES = np.array([[0, 128, 129, 257], [25700, 32768, 65406, 65535]])
    EXPECTED = ((0, 0, 1, 1), (100, 128, 254, 255))

    @pytest.mark.parametrize(("dtype", "kind"), [("<u2", "I;16"), (">u2", "I;16B")])
    def test_full_range(self, tmp_path, dtype, kind):
        data = self.VALUES.astype(dtype)
        Image.frombytes(kind, (4, 2), data.tobytes()).save(tmp_path / "a.tiff")
        assert mode(tmp_path / "a.tiff") == kind
        assert (pixels(tmp_path / "a.tiff") == np.array(self.EXPECTED)[..., None]).all()

    def test_png(self, tmp_path):
        Image.fromarray(self.VALUES.astype(np.uint16)).save(tmp_path / "a.png")
        assert (pixels(tmp_path / "a.png") == np.array(self.EXPECTED)[..., None]).all()

    def test_mode_i(self, tmp_path):
        Image.fromarray(self.VALUES.astype(np.int32)).save(tmp_path / "a.tiff")
        assert mode(tmp_path / "a.tiff") == "I"
        assert (pixels(tmp_path / "a.tiff") == np.array(self.EXPECTED)[..., None]).all()

    @pytest.mark.parametrize("value", [-1, 65536])
    def test_beyond_sixteen_bits(self, tmp_path, value):
        Image.new("I", (2, 2), value).save(tmp_path / "a.tiff")
        with pytest.raises(ImageError, match=f"from {value} to {value}, beyond 16 bits"):
            read_image(tmp_path / "a.tiff")


class TestFewerBits:
    """Gray values that do not fill the bits of their file."""

    @pytest.mark.parametrize("bits", [8, 10, 12, 14])
    def test_are_noted(self, tmp_path, bits):
        values = np.array([[0, 2**bits - 1]], np.uint16)
        Image.fromarray(values).save(tmp_path / "a.png")
        message = rf"seems to have {bits} bits.* --range 0,{2**bits - 1}\."
        with pytest.warns(UserWarning, match=message):
            read_image(tmp_path / "a.png")

    @pytest.mark.parametrize("largest", [0, 2**14, 65535])
    def test_are_not_seen_where_there_are_none(self, tmp_path, largest):
        Image.fromarray(np.array([[0, largest]], np.uint16)).save(tmp_path / "a.png")
        pixels(tmp_path / "a.png")

    def test_a_range_shows_them(self, tmp_path):
        Image.fromarray(np.array([[0, 819, 4095, 5000]], np.uint16)).save(tmp_path / "a.png")
        shown = np.asarray(read_image(tmp_path / "a.png", value_range=(0, 4095)))
        np.testing.assert_array_equal(shown[0, :, 0], [0, 51, 255, 255])
        # Center 2048 and width 4096 are 0 to 4095.
        again = np.asarray(read_image(tmp_path / "a.png", window=(2048, 4096)))
        np.testing.assert_array_equal(shown, again)

    @pytest.mark.parametrize("mode", ["F", "I"])
    def test_values_without_a_range_of_their_own(self, tmp_path, mode):
        values = np.array([[-1000, 0, 250, 70000]], np.float32 if mode == "F" else np.int32)
        Image.fromarray(values).save(tmp_path / "a.tif")
        shown = read_image(tmp_path / "a.tif", value_range=(-1000, 1500))
        np.testing.assert_array_equal(np.asarray(shown)[0, :, 0], [0, 102, 128, 255])

    def test_no_number_is_black(self, tmp_path):
        Image.fromarray(np.array([[np.nan, 1]], np.float32)).save(tmp_path / "a.tif")
        shown = read_image(tmp_path / "a.tif", value_range=(0, 1))
        np.testing.assert_array_equal(np.asarray(shown)[0, :, 0], [0, 255])

    def test_eight_bits(self, tmp_path):
        Image.fromarray(np.array([[20, 71, 122]], np.uint8)).save(tmp_path / "a.png")
        shown = np.asarray(read_image(tmp_path / "a.png", value_range=(20, 122)))
        np.testing.assert_array_equal(shown[0, :, 0], [0, 128, 255])
        with pytest.raises(ImageError, match=r"a\.png has 8 bits, so no value comes near 4095"):
            read_image(tmp_path / "a.png", value_range=(0, 4095))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"value_range": (5, 5)}, r"value_range=\(5, 5\) must be two numbers \(low, high\)"),
            ({"value_range": (0, float("inf"))}, "low below high"),
            ({"value_range": (0, 1, 2)}, "must be two numbers"),
            ({"window": (40, 1)}, "a width above 1"),
            ({"value_range": (0, 1), "window": (1, 2)}, "not both"),
        ],
    )
    def test_what_is_no_range(self, tmp_path, options, message):
        Image.new("L", (2, 2)).save(tmp_path / "a.png")
        with pytest.raises(ValueError, match=message):
            read_image(tmp_path / "a.png", **options)


class TestExif:
    @pytest.mark.parametrize(("orientation", "quarter_turns"), [(3, 2), (6, 3), (8, 1)])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_is_turned_upright(self, tmp_path, orientation, quarter_turns, dtype):
        values = (np.arange(6).reshape(2, 3) * (40 if dtype is np.uint8 else 40 * 257)).astype(
            dtype
        )
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
        expected = np.rot90(np.arange(6).reshape(2, 3) * 40, quarter_turns)
        assert (pixels(tmp_path / "a.png") == expected[..., None]).all()


class TestNoImage:
    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"There is no file .*a\.png"):
            read_image(tmp_path / "a.png")

    def test_folder(self, tmp_path):
        with pytest.raises(ImageError, match="is not a file"):
            read_image(tmp_path)

    def test_text(self, tmp_path):
        (tmp_path / "a.png").write_text("a picture")
        with pytest.raises(ImageError, match=r"a\.png is not an image"):
            read_image(tmp_path / "a.png")

    @pytest.mark.parametrize("name", ["a.jpg", "a.png"])
    def test_truncated(self, tmp_path, name):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ImageError, match=f"{name} cannot be read as an image: .*truncated"):
            read_image(tmp_path / name)


class TestTiff:
    """Which value is black is for the file to say."""

    @staticmethod
    def write(path, bits, photometric):
        value = {8: 100, 16: 25700}[bits]
        image = Image.new({8: "L", 16: "I;16"}[bits], (3, 2), value)
        image.save(path)
        content = path.read_bytes()
        # In the file: Pillow would turn the pixels around as well.
        at = content.index(b"\x06\x01\x03\x00\x01\x00\x00\x00") + 8
        path.write_bytes(content[:at] + bytes([photometric]) + content[at + 1 :])

    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize(("photometric", "expected"), [(1, 100), (0, 155)])
    def test_black_or_white_is_zero(self, tmp_path, bits, photometric, expected):
        path = tmp_path / "a.tif"
        self.write(path, bits, photometric)
        assert (pixels(path) == expected).all()


def test_a_number_behind_a_photograph_is_no_frame(tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png is no DICOM file, so it has no frame 2"):
        read_image(tmp_path / "a.png#2")


def test_more_pixels_than_pillow_reads(tmp_path, monkeypatch):
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    with (
        pytest.warns(UserWarning, match=r"a\.png is very large, 10 x 10 pixels"),
        pytest.warns(Image.DecompressionBombWarning),
    ):
        read_image(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 49)
    with pytest.raises(ImageError, match=r"a\.png has more pixels than Pillow reads, 98"):
        read_image(tmp_path / "a.png")
