"""Read DICOM files as a viewer shows them, frame by frame."""

from __future__ import annotations

import copy
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from captum_clustered._errors import ImageError, explained, needs_extra, printable
from captum_clustered.data.gray_values import Range, as_bytes

SUFFIXES = (".dcm", ".dicom")
# Follows 128 bytes of any content. Archives often omit suffixes.
MAGIC = b"DICM"
# An enhanced file has these for each frame; other files have their content at the top.
PER_FRAME = ("FrameVOILUTSequence", "PixelValueTransformationSequence")


def split_frame(path: Path) -> tuple[Path, int | None]:
    """Return the file and the number of the frame of ``file.dcm#3``; DICOM counts from 1."""
    name, mark, number = path.name.rpartition("#")
    if not mark or not number.isdecimal() or path.exists():
        return path, None
    return path.with_name(name), int(number)


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its suffix or, without one, by its first bytes."""
    if path.suffix.lower() in SUFFIXES:
        return True
    # Files are often named by a dotted identifier, without a suffix.
    if path.suffix and not path.suffix[1:].isdecimal():
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == MAGIC
    except OSError:
        return False


def frame_names(path: Path, name: str) -> list[str]:
    """Return a file's name or, if it has several frames, ``name#1``, ``name#2`` ..."""
    if not is_dicom(path):
        return [name]
    try:
        frames = _n_frames(_header(path), path)
    except (ImageError, ImportError):
        # The reason is reported when the file is read.
        return [name]
    return [name] if frames == 1 else [f"{name}#{frame}" for frame in range(1, frames + 1)]


def frames_of(path: str | os.PathLike[str]) -> list[Path]:
    """
    List what :func:`read_image` takes for a file: the file, or each frame of one with several.

    Args:

        path (str or os.PathLike): A file of any kind.

    Returns:
        list of Path: ``[file]``, or ``[file.dcm#1, file.dcm#2, ...]``.
    """
    path = Path(path)
    return [path.with_name(name) for name in frame_names(path, path.name)]


def read_dicom(path: Path, frame: int | None, value_range: Range | None = None) -> Image.Image:
    """
    Read a frame as RGB.

    Stored values pass the modality's rescaling and the first window, and are then scaled to 0
    to 255. Without a window the whole range of the stored bits is shown. A value_range takes the
    place of the window, in units of the rescaled values. MONOCHROME1 is inverted; palettes and
    YBR become RGB. Frames count from 1; None is for a file with one.
    """
    name = printable(path)
    header = _header(path)
    frames = _n_frames(header, path)
    if frame is None and frames > 1:
        raise ImageError(f"{name} has {frames} frames; give one: {name}#1 to {name}#{frames}.")
    if frame is not None and not 1 <= frame <= frames:
        raise ImageError(f"{name} has no frame {frame}; its frames are 1 to {frames}.")
    from pydicom.pixels import pixel_array

    with explained(f"{name} cannot be decoded", ImageError):
        if "Rows" not in header:
            raise ImageError(f"{name} holds no picture.")
        index = (frame or 1) - 1
        values = pixel_array(path, index=index)
        header = _usable(_of_frame(header, index))
        if value_range is not None and (values.ndim == 3 or _is_palette(header)):
            raise ImageError(f"{name} is in color; value_range and window are for gray values.")
        return Image.fromarray(_shown(values, header, value_range))


def _header(path: Path) -> Any:
    with needs_extra(f"{printable(path)}, a DICOM file,", "dicom"):
        import pydicom

    with explained(f"{printable(path)} cannot be read as DICOM", ImageError):
        return pydicom.dcmread(path, stop_before_pixels=True)


def _n_frames(header: Any, path: Path) -> int:
    # Not by pydicom's value, which warns of an invalid one.
    first, *others = _floats(header, "NumberOfFrames") or [1.0]
    if others or not first.is_integer() or first < 1:
        raise ImageError(f"{printable(path)} has an invalid NumberOfFrames in its header.")
    return int(first)


def _of_frame(header: Any, index: int) -> Any:
    """Return the header with one frame's entries of an enhanced file at the top."""
    shared = header.get("SharedFunctionalGroupsSequence") or []
    each = header.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*shared[:1], *each[index : index + 1]]
    parts = [part for group in groups for name in PER_FRAME for part in group.get(name) or []]
    if not parts:
        return header
    merged = copy.copy(header)
    for part in parts:
        merged.update(part)
    return merged


def _usable(header: Any) -> Any:
    """
    Return the header with one window and one rescaling of finite numbers, or without them.

    Exporters and de-identifiers leave empty and meaningless values, which count as absent.
    """
    windows = zip(_floats(header, "WindowCenter"), _floats(header, "WindowWidth"), strict=False)
    # A linear window, the usual one, begins at a width of 1.
    least = 1 if header.get("VOILUTFunction", "") in (None, "", "LINEAR") else 1e-9
    window = next((w for w in windows if math.isfinite(sum(w)) and w[1] >= least), None)
    slope = next(iter(_floats(header, "RescaleSlope")), 1.0)
    intercept = next(iter(_floats(header, "RescaleIntercept")), 0.0)
    # A slope of zero would leave nothing to see.
    slope = slope if math.isfinite(slope) and slope else 1.0
    intercept = intercept if math.isfinite(intercept) else 0.0
    # Without need, integers stay integers, which lookup tables take.
    rescaling = None if (slope, intercept) == (1, 0) else (slope, intercept)
    for names, numbers in (
        (("WindowCenter", "WindowWidth"), window),
        (("RescaleSlope", "RescaleIntercept"), rescaling),
    ):
        for name, number in zip(names, numbers or (None, None), strict=True):
            header.pop(name, None)
            if number is not None:
                setattr(header, name, number)
    if not header.get("VOILUTFunction"):
        header.pop("VOILUTFunction", None)
    return header


def _floats(header: Any, name: str) -> list[float]:
    """Return the numbers of an element, NaN for what is no number; none of an empty element."""
    value = header.get_item(name).value if name in header else None
    if isinstance(value, bytes):
        value = value.decode("latin-1").strip("\0 ")
    if isinstance(value, str):
        value = value.split("\\") if value else None
    if isinstance(value, (float, int)):
        value = [value]
    return [_float(part) for part in value or ()]


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _is_palette(header: Any) -> bool:
    return bool(header.get("PhotometricInterpretation") == "PALETTE COLOR")


def _shown(
    values: npt.NDArray[Any], header: Any, value_range: Range | None
) -> npt.NDArray[np.uint8]:
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

    if _is_palette(header):
        colors = apply_color_lut(values, header)
        return as_bytes(colors, 0, 2 ** (8 * colors.dtype.itemsize) - 1)
    if values.ndim == 3:
        return as_bytes(values, 0, 2 ** int(header.BitsStored) - 1)
    shown = apply_modality_lut(values, header)
    if value_range is None:
        shown = apply_voi_lut(shown, header)
    gray = as_bytes(shown, *(value_range or _range(header)))
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        gray = 255 - gray
    return np.repeat(gray[..., None], 3, 2)


def _range(header: Any) -> tuple[float, float]:
    """Return which values are black and white after the window."""
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        if header.get(name):
            return 0, 2 ** int(header[name].value[0].LUTDescriptor[2]) - 1
    bits = int(header.BitsStored)
    is_signed = bool(header.get("PixelRepresentation"))
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    slope = float(header.get("RescaleSlope", 1))
    intercept = float(header.get("RescaleIntercept", 0))
    low, high = low * slope + intercept, high * slope + intercept
    # With a negative slope pydicom's windows end the other way round; values alone do not.
    return (low, high) if "WindowCenter" in header else (min(low, high), max(low, high))
