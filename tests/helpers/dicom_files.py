"""DICOM files with pixels and windows that can be worked out by hand."""

import warnings

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")


def save_dicom(
    path, values, bits=8, interpretation="MONOCHROME2", signed=False, frames=None, **tags
):
    """
    A file with these stored values, (rows, columns), (frames, ...) or (..., 3).

    Tags given as bytes are written as they are, valid or not.
    """
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    file = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    values = np.asarray(values)
    samples = 3 if values.shape[-1] == 3 and interpretation in ("RGB", "YBR_FULL") else 1
    shape = values.shape[:-1] if samples == 3 else values.shape
    file.Rows, file.Columns = shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation = samples, interpretation
    if samples == 3:
        file.PlanarConfiguration = 0
    file.BitsAllocated = 8 if bits <= 8 else 16
    file.BitsStored, file.HighBit = bits, bits - 1
    file.PixelRepresentation = int(signed)
    if frames:
        file.NumberOfFrames = frames
    for name, value in tags.items():
        if isinstance(value, bytes):
            tag = pydicom.tag.Tag(name)
            vr = pydicom.datadict.dictionary_VR(tag)
            value = pydicom.dataelem.RawDataElement(tag, vr, len(value), value, 0, False, True)
            file._dict[tag] = value
        else:
            setattr(file, name, value)
    kind = {(8, False): "u1", (8, True): "i1", (16, False): "<u2", (16, True): "<i2"}
    data = values.astype(kind[file.BitsAllocated, signed]).tobytes()
    file.PixelData = data + b"\0" * (len(data) % 2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Invalid value|Value .* is not valid")
        file.save_as(path, enforce_file_format=True)
    return path
