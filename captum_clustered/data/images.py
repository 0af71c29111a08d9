"""Reading photographs and grayscale pictures as RGB."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from captum_clustered._errors import UserError, explained, printable
from captum_clustered.data.dicom import is_dicom, read_dicom, split_frame

__all__ = ["read_image"]

# Pillow's own conversion of these to 8 bits clips everything above 255 to white.
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
# A tag of TIFF, and one of its values.
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """
    An image file as RGB, upright.

    Transparency is dropped, as torchvision's loader does; 16-bit grayscale is scaled
    from its full range, so that 65535 becomes 255; the first frame of an animation
    counts. DICOM files are read as :func:`captum_clustered.data.dicom.read_dicom` does.

    Args:

        path (str or os.PathLike): The file; of a DICOM file with several frames one of
                    them, ``file.dcm#3``.

    Returns:
        PIL.Image.Image: Mode RGB, turned as its EXIF orientation says.

    Raises:

        UserError: If there is no such file, it is no (whole) image, or its pixels have
                    no known range (32-bit floating point).
    """
    path, frame = split_frame(Path(path))
    name = printable(path)
    if not path.exists():
        raise UserError(f"There is no file {name}.")
    if not path.is_file():
        raise UserError(f"{name} is not a file; give image files.")
    if is_dicom(path):
        return read_dicom(path, frame)
    if frame is not None:
        raise UserError(f"{name} is no DICOM file, so it has no frame {frame}.")
    try:
        with explained(f"{name} cannot be read as an image"), Image.open(path) as file:
            # Decodes all pixels: only here does a truncated file show.
            file.load()
            image = _as_rgb(ImageOps.exif_transpose(file), name)
            return ImageOps.invert(image) if _is_negative(file) else image
    except UserError as error:
        if isinstance(error.__cause__, UnidentifiedImageError):
            raise UserError(f"{name} is not an image, or of an unknown format.") from error
        raise


def _as_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in SIXTEEN_BIT_MODES:
        return _from_sixteen_bit(image, name)
    if image.mode == "F":
        raise UserError(
            f"{name} has floating-point pixels (mode F), whose range is not known; save it with 8 "
            "or 16 bits."
        )
    if image.mode in ("P", "PA") and ("transparency" in image.info or image.mode == "PA"):
        # By way of RGBA: Pillow warns otherwise.
        image = image.convert("RGBA")
    return image.convert("RGB")


def _from_sixteen_bit(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UserError(
            f"{name} has 32-bit pixels from {values.min()} to {values.max()}, beyond 16 bits; save "
            "it with 8 or 16 bits."
        )
    # 65535 / 255 = 257; rounded, not cut off.
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _is_negative(file: Image.Image) -> bool:
    """Whether zero is white, in a TIFF file of 16 bits: with 8 bits Pillow turns it around."""
    tags = getattr(file, "tag_v2", {})
    return file.mode in SIXTEEN_BIT_MODES and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
