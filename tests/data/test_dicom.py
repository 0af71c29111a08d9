"""DICOM files with pixels and windows that can be worked out by hand."""

import numpy as np
import pytest

from captum_clustered._errors import UserError
from captum_clustered.data import dicom
from captum_clustered.data.dicom import frame_names, frames_of, is_dicom, read_dicom, split_frame
from captum_clustered.data.images import read_image

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")


def write(path, values, bits=8, interpretation="MONOCHROME2", signed=False, frames=None, **tags):
    """A file with these stored values, (rows, columns), (frames, ...) or (..., 3)."""
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
        setattr(file, name, value)
    kind = {(8, False): "u1", (8, True): "i1", (16, False): "<u2", (16, True): "<i2"}
    data = values.astype(kind[file.BitsAllocated, signed]).tobytes()
    file.PixelData = data + b"\0" * (len(data) % 2)
    file.save_as(path, enforce_file_format=True)
    return path


def gray(path, frame=None):
    image = read_dicom(path, frame)
    assert image.mode == "RGB"
    values = np.asarray(image)
    assert (values == values[..., :1]).all()
    return values[..., 0].tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # What is stored, on the scale of its bits.
        ({"bits": 8}, [[0, 51], [102, 255]]),
        ({"bits": 8, "interpretation": "MONOCHROME1"}, [[255, 204], [153, 0]]),
        # Rescaling alone moves black and white along.
        ({"bits": 8, "RescaleSlope": "2", "RescaleIntercept": "-100"}, [[0, 51], [102, 255]]),
        # A negative slope turns values round: 255 - stored.
        ({"bits": 8, "RescaleSlope": "-1", "RescaleIntercept": "255"}, [[255, 204], [153, 0]]),
        # The window's black is 51 again, and its white 102.
        (
            {
                "bits": 8,
                "RescaleSlope": "-1",
                "RescaleIntercept": "255",
                "WindowCenter": "77",
                "WindowWidth": "52",
            },
            [[255, 255], [255, 0]],
        ),
        # Linear window: (x - (c - 0.5)) / (w - 1) + 0.5; black from 51, white from 102.
        ({"bits": 8, "WindowCenter": "77", "WindowWidth": "52"}, [[0, 0], [255, 255]]),
        ({"bits": 8, "WindowCenter": "102.5", "WindowWidth": "205"}, [[0, 64], [128, 255]]),
    ],
)
def test_gray_values(tmp_path, options, expected):
    path = write(tmp_path / "a.dcm", [[0, 51], [102, 255]], **options)
    assert gray(path) == expected


def test_windows_are_in_rescaled_units(tmp_path):
    """Air, water and bone of a CT in a window of 400 around 40 Hounsfield units."""
    stored = [[24, 1024], [1064, 2024]]
    path = write(
        tmp_path / "ct.dcm",
        stored,
        bits=12,
        RescaleSlope="1",
        RescaleIntercept="-1024",
        WindowCenter="40",
        WindowWidth="400",
    )
    relative = [(value - 1024 - 39.5) / 399 + 0.5 for value in (1024, 1064)]
    water, middle = (round(255 * value) for value in relative)
    assert gray(path) == [[0, water], [middle, 255]]


def test_signed_values(tmp_path):
    path = write(tmp_path / "a.dcm", [[-2048, 0], [1023, 2047]], bits=12, signed=True)
    assert gray(path) == [[0, 128], [191, 255]]


def test_colors(tmp_path):
    values = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 99, 199]]])
    path = write(tmp_path / "a.dcm", values, interpretation="RGB")
    assert np.array_equal(read_dicom(path, None), values)


def test_ybr_becomes_rgb(tmp_path):
    # ITU-R BT.601: Cr far above 128 is red, Cb far above 128 is blue.
    path = write(tmp_path / "a.dcm", [[[76, 85, 255], [29, 255, 107]]], interpretation="YBR_FULL")
    red, blue = np.asarray(read_dicom(path, None)).astype(int)[0]
    np.testing.assert_allclose(red, [254, 0, 0], atol=2)
    np.testing.assert_allclose(blue, [0, 0, 254], atol=2)


def test_each_frame_is_an_item(tmp_path):
    path = write(tmp_path / "clip.dcm", [[[0, 1]], [[2, 3]], [[4, 5]]], frames=3)
    assert frame_names(path, "x/clip.dcm") == [f"x/clip.dcm#{number}" for number in (1, 2, 3)]
    assert [gray(path, number) for number in (1, 2, 3)] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    assert frames_of(path)[1] == tmp_path / "clip.dcm#2"
    assert np.asarray(read_image(tmp_path / "clip.dcm#3"))[0, :, 0].tolist() == [4, 5]


def test_frames_may_have_windows_of_their_own(tmp_path):
    def groups(center):
        window = pydicom.Dataset()
        window.WindowCenter, window.WindowWidth = center, "2"
        group = pydicom.Dataset()
        group.FrameVOILUTSequence = [window]
        return group

    path = write(
        tmp_path / "a.dcm",
        [[[50, 100]], [[50, 100]]],
        frames=2,
        PerFrameFunctionalGroupsSequence=[groups("75"), groups("150")],
    )
    assert gray(path, 1) == [[0, 255]]
    assert gray(path, 2) == [[0, 0]]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (None, r"has 2 frames; give one: .*a.dcm#1 to .*a.dcm#2"),
        (0, "has no frame 0; its frames are 1 to 2"),
        (3, "has no frame 3; its frames are 1 to 2"),
    ],
)
def test_frames_that_are_not_there(tmp_path, frame, message):
    path = write(tmp_path / "a.dcm", [[[0, 1]], [[2, 3]]], frames=2)
    with pytest.raises(UserError, match=message):
        read_dicom(path, frame)


def test_files_that_are_no_pictures(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"no DICOM at all")
    with pytest.raises(UserError, match=r"a\.dcm cannot be read as DICOM"):
        read_image(tmp_path / "a.dcm")
    assert frame_names(tmp_path / "a.dcm", "a.dcm") == ["a.dcm"]
    path = write(tmp_path / "b.dcm", [[0, 1]])
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    with pytest.raises(UserError, match=r"b\.dcm cannot be decoded"):
        read_image(path)
    report = pydicom.dcmread(write(tmp_path / "c.dcm", [[0, 1]]))
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    report.save_as(tmp_path / "c.dcm")
    with pytest.raises(UserError, match=r"c\.dcm holds no picture"):
        read_image(tmp_path / "c.dcm")


def test_files_are_known_by_name_or_first_bytes(tmp_path):
    path = write(tmp_path / "1.2.840.113", [[0, 1]])
    assert is_dicom(path)
    (tmp_path / "notes").write_text("none")
    assert not is_dicom(tmp_path / "notes")
    assert not is_dicom(tmp_path / "absent")
    assert not is_dicom(tmp_path / "a.png")


def test_a_number_behind_a_file_is_a_frame(tmp_path):
    assert split_frame(tmp_path / "a.dcm#12") == (tmp_path / "a.dcm", 12)
    assert split_frame(tmp_path / "a.dcm") == (tmp_path / "a.dcm", None)
    (tmp_path / "b#2").touch()
    assert split_frame(tmp_path / "b#2") == (tmp_path / "b#2", None)


def test_without_pydicom_one_sentence(tmp_path, monkeypatch):
    path = write(tmp_path / "a.dcm", [[0, 1]])
    monkeypatch.setattr(dicom, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install captum_clustered\[dicom\]"):
        read_image(path)


def test_explain_takes_frames(explain, workplace):
    rng = np.random.default_rng(0)
    write(workplace / "clip.dcm", rng.integers(0, 255, (2, 40, 30)), frames=2)
    assert explain(images=["clip.dcm"]).exit_code == 0
    assert explain("--out", "one", images=["clip.dcm#2"]).exit_code == 0
    names = ["clip-frame1.npz", "clip-frame1.png", "clip-frame2.npz", "clip-frame2.png"]
    assert sorted(path.name for path in (workplace / "out").iterdir()) == names
    assert sorted(path.name for path in (workplace / "one").iterdir()) == names[2:]
    first, again = (
        np.load(f"{folder}/clip-frame2.npz")["attribution"] for folder in ("out", "one")
    )
    np.testing.assert_array_equal(first, again)
