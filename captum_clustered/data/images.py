"""Read image files of any kind as RGB."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from captum_clustered._errors import ImageError, one_line, printable
from captum_clustered.data.dicom import is_dicom, read_dicom, split_frame
from captum_clustered.data.gray_values import as_bytes, chosen_range

# Pillow's own conversion of these to 8 bits clips everything above 255 to white.
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
# Bits that devices store in 16.
FEWER_BITS = (8, 10, 12, 14)
GIVE_RANGE = "give value_range (--range LOW,HIGH)"
# A tag of TIFF, and one of its values.
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0


def read_image(
    path: str | os.PathLike[str],
    value_range: Sequence[float] | None = None,
    window: Sequence[float] | None = None,
) -> Image.Image:
    """
    Read an image file as RGB with 8 bits, upright.

    The orientation in the EXIF data is applied. 16-bit grayscale is scaled from its full range,
    so that 65535 becomes 255, with a warning if its values need 14 bits or fewer. What is
    transparent lies on black. Of an animation, the first frame is read. A DICOM file is shown as
    its window says.

    Args:

        path (str or os.PathLike): The file. Frame 3 of a DICOM file with several frames is
                    ``file.dcm#3``; see :func:`frames_of`.
        value_range (sequence of float, optional): The stored values that become 0 and 255, such
                    as (0, 4095) for 12 bits. Of a DICOM file, in units of its rescaled values.
                    Default: None (as above)
        window (sequence of float, optional): The same as (center, width).
                    Default: None

    Returns:
        PIL.Image.Image: Mode RGB.

    Raises:

        FileNotFoundError: If there is no such file.
        ImageError: If it is not an image or is damaged, or if its pixels have no known range
                    (32-bit floating point) and none is given.
        ValueError: If value_range or window is no range.
        ModuleNotFoundError: If it is a DICOM file and pydicom is not installed.

    Examples::

        >>> image = read_image("scan.png")
        >>> image = read_image("ct.dcm", window=(40, 400))
        >>> frames = [read_image(frame) for frame in frames_of("clip.dcm")]
    """
    path, frame = split_frame(Path(path))
    existing_file(path)
    shown = chosen_range(value_range, window)
    if is_dicom(path):
        return read_dicom(path, frame, shown)
    name = printable(path)
    if frame is not None:
        raise ImageError(f"{name} is no DICOM file, so it has no frame {frame}.")
    image = decoded(path)
    if shown is not None and image.mode in (*SIXTEEN_BIT_MODES, "F"):
        return Image.fromarray(as_bytes(np.asarray(image), *shown)).convert("RGB")
    if image.mode in SIXTEEN_BIT_MODES:
        return _from_sixteen_bit(image, name)
    if image.mode == "F":
        raise ImageError(
            f"{name} has floating-point pixels (mode F), whose range is not known; {GIVE_RANGE} or "
            "save it with 8 or 16 bits."
        )
    image = _without_transparency(image)
    if shown is None:
        return image
    # A window of 256 values may end at 255.5.
    if shown[1] > 256:
        raise ImageError(
            f"{name} has 8 bits, so no value comes near {shown[1]:g}, which would be white."
        )
    return Image.fromarray(as_bytes(np.asarray(image), *shown))


def existing_file(path: Path) -> None:
    """Check that a path is a file."""
    if not path.exists():
        raise FileNotFoundError(f"There is no file {printable(path)}.")
    if not path.is_file():
        raise ImageError(f"{printable(path)} is not a file; give image files.")


def decoded(path: Path) -> Image.Image:
    """Decode a file in the mode that it is stored in, but upright and with 0 as black."""
    name = printable(path)
    try:
        with Image.open(path) as file:
            _warn_if_huge(file.size, name)
            # Decodes all pixels: only here does a truncated file show.
            file.load()
            # In place: a copy of a large photograph takes a fifth of the time of decoding it.
            ImageOps.exif_transpose(file, in_place=True)
            is_negative = getattr(file, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name} has more pixels than Pillow reads, {2 * (Image.MAX_IMAGE_PIXELS or 0):,}; "
            "make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not an image or has an unknown format.") from error
    except Exception as error:
        raise ImageError(f"{name} cannot be read as an image: {one_line(error)}") from error
    # With 8 bits Pillow inverts them itself.
    if is_negative and file.mode in SIXTEEN_BIT_MODES:
        return Image.fromarray(65535 - np.asarray(file).astype(np.int32))
    return file


def _warn_if_huge(size: tuple[int, int], name: str) -> None:
    """Say in words what Pillow's warning of a decompression bomb means."""
    width, height = size
    if width * height > (Image.MAX_IMAGE_PIXELS or math.inf):
        warnings.warn(
            f"{name} is very large, {width} x {height} pixels; it takes "
            f"{width * height * 3 / 1e9:.2g} GB or more in memory.",
            stacklevel=4,
        )


def _without_transparency(image: Image.Image) -> Image.Image:
    """Return the image in RGB, on black where it is transparent."""
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("RGBA")
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image).convert("RGB")


def _from_sixteen_bit(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(
            f"{name} has 32-bit pixels from {values.min()} to {values.max()}, beyond 16 bits; "
            f"{GIVE_RANGE} or save it with 8 or 16 bits."
        )
    bits = next((n for n in FEWER_BITS if values.max() < 2**n), None)
    if bits is not None and values.max():
        # Without the file's name, for all of a folder are alike, and it is said once.
        warnings.warn(
            f"An image with 16 bits has no value above {2**bits - 1}, so it seems to have {bits} "
            f"bits, and is nearly black; give value_range=(0, {2**bits - 1}), on the command line "
            f"--range 0,{2**bits - 1}.",
            stacklevel=3,
        )
    # 65535 / 255 = 257; rounded, not cut off.
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
