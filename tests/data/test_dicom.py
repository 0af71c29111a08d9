"""DICOM files with pixels and windows that can be worked out by hand."""

import sys

import numpy as np
import pytest
from dicom_files import save_dicom

from captum_clustered.data import ImageError, frames_of, read_image
from captum_clustered.data.dicom import frame_names, is_dicom, read_dicom, split_frame

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")


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
    path = save_dicom(tmp_path / "a.dcm", [[0, 51], [102, 255]], **options)
    assert gray(path) == expected


def test_windows_are_in_rescaled_units(tmp_path):
    """Air, water and bone of a CT in a window of 400 around 40 Hounsfield units."""
    stored = [[24, 1024], [1064, 2024]]
    path = save_dicom(
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


def test_a_range_or_window_of_the_users_takes_the_place_of_the_files(tmp_path):
    # Rescaled: -100, 0, 100, 200.
    values = [[0, 50], [100, 150]]
    tags = {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 0, "WindowWidth": 9}
    path = save_dicom(tmp_path / "a.dcm", values, **tags)
    shown = np.asarray(read_image(path, value_range=(-100, 200)))[..., 0]
    np.testing.assert_array_equal(shown, [[0, 85], [170, 255]])
    own = save_dicom(tmp_path / "b.dcm", values, **tags | {"WindowCenter": 77, "WindowWidth": 201})
    np.testing.assert_array_equal(read_image(path, window=(77, 201)), read_image(own))
    inverted = save_dicom(tmp_path / "c.dcm", values, interpretation="MONOCHROME1", **tags)
    shown = np.asarray(read_image(inverted, value_range=(-100, 200)))[..., 0]
    np.testing.assert_array_equal(shown, [[255, 170], [85, 0]])
    color = save_dicom(tmp_path / "d.dcm", np.ones((2, 2, 3)), interpretation="RGB")
    with pytest.raises(ImageError, match=r"d\.dcm is in color; value_range and window are for"):
        read_image(color, window=(77, 201))


PLAIN, WINDOWED = [[0, 51], [102, 255]], [[0, 0], [255, 255]]
NEGATIVE = {"RescaleSlope": b"-1", "RescaleIntercept": b"255 "}
WINDOW = {"WindowCenter": b"77", "WindowWidth": b"52"}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"WindowCenter": b"", "WindowWidth": b""}, PLAIN),
        ({"WindowCenter": b"77", "WindowWidth": b""}, PLAIN),
        ({**NEGATIVE, "WindowCenter": b"", "WindowWidth": b""}, [[255, 204], [153, 0]]),
        ({**WINDOW, "WindowCenter": b"NaN "}, PLAIN),
        ({**WINDOW, "WindowWidth": b"inf "}, PLAIN),
        ({**WINDOW, "WindowWidth": b"wide"}, PLAIN),
        ({**WINDOW, "WindowWidth": b"0 "}, PLAIN),
        ({**WINDOW, "WindowWidth": b"-9"}, PLAIN),
        # The first window that can be used.
        ({"WindowCenter": b"NaN\\77", "WindowWidth": b"1\\52"}, WINDOWED),
        ({**WINDOW, "VOILUTFunction": b""}, WINDOWED),
        ({**WINDOW, "RescaleSlope": b"", "RescaleIntercept": b""}, WINDOWED),
        ({"RescaleSlope": b"NaN ", "RescaleIntercept": b"0 "}, PLAIN),
        ({**WINDOW, "RescaleSlope": b"0 ", "RescaleIntercept": b"0 "}, WINDOWED),
        ({**WINDOW, "RescaleSlope": b"one ", "RescaleIntercept": b"inf "}, WINDOWED),
        # A slope without an intercept counts: the window is [102, 204] of twice the values.
        ({"WindowCenter": b"153.5 ", "WindowWidth": b"103 ", "RescaleSlope": b"2 "}, WINDOWED),
    ],
)
def test_unusable_values_of_the_header_are_absent(tmp_path, tags, expected):
    path = save_dicom(tmp_path / "a.dcm", [[0, 51], [102, 255]], bits=8, **tags)
    assert gray(path) == expected


def test_lookup_tables_with_a_rescaling_that_changes_nothing(tmp_path):
    table = pydicom.Dataset()
    # Little-endian numbers of 16 bits.
    table.LUTDescriptor, table.LUTData = [4, 0, 8], bytes([255, 0, 170, 0, 85, 0, 0, 0])
    path = save_dicom(
        tmp_path / "a.dcm",
        [[0, 1], [2, 3]],
        RescaleSlope="1",
        RescaleIntercept="0",
        VOILUTSequence=[table],
    )
    assert gray(path) == [[255, 170], [85, 0]]


@pytest.mark.parametrize("number", [b"1A", b"1\\1 ", b"-2", b"1.5 ", b"NaN "])
def test_an_unusable_number_of_frames_is_an_error_of_its_file(tmp_path, number):
    path = save_dicom(tmp_path / "a.dcm", [[0, 1]], NumberOfFrames=number)
    assert frames_of(path) == [path]
    with pytest.raises(ImageError, match=r"a\.dcm has an invalid NumberOfFrames"):
        read_image(path)


def test_signed_values(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", [[-2048, 0], [1023, 2047]], bits=12, signed=True)
    assert gray(path) == [[0, 128], [191, 255]]


def test_colors(tmp_path):
    values = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 99, 199]]])
    path = save_dicom(tmp_path / "a.dcm", values, interpretation="RGB")
    assert np.array_equal(read_dicom(path, None), values)


def test_ybr_becomes_rgb(tmp_path):
    # ITU-R BT.601: Cr far above 128 is red, Cb far above 128 is blue.
    path = save_dicom(
        tmp_path / "a.dcm", [[[76, 85, 255], [29, 255, 107]]], interpretation="YBR_FULL"
    )
    red, blue = np.asarray(read_dicom(path, None)).astype(int)[0]
    np.testing.assert_allclose(red, [254, 0, 0], atol=2)
    np.testing.assert_allclose(blue, [0, 0, 254], atol=2)


def test_each_frame_is_an_item(tmp_path):
    path = save_dicom(tmp_path / "clip.dcm", [[[0, 1]], [[2, 3]], [[4, 5]]], frames=3)
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

    path = save_dicom(
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
    path = save_dicom(tmp_path / "a.dcm", [[[0, 1]], [[2, 3]]], frames=2)
    with pytest.raises(ImageError, match=message):
        read_dicom(path, frame)


def test_files_that_are_no_pictures(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"no DICOM at all")
    with pytest.raises(ImageError, match=r"a\.dcm cannot be read as DICOM"):
        read_image(tmp_path / "a.dcm")
    assert frame_names(tmp_path / "a.dcm", "a.dcm") == ["a.dcm"]
    path = save_dicom(tmp_path / "b.dcm", [[0, 1]])
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    with pytest.raises(ImageError, match=r"b\.dcm cannot be decoded"):
        read_image(path)
    report = pydicom.dcmread(save_dicom(tmp_path / "c.dcm", [[0, 1]]))
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    report.save_as(tmp_path / "c.dcm")
    with pytest.raises(ImageError, match=r"c\.dcm holds no picture"):
        read_image(tmp_path / "c.dcm")


def test_files_are_known_by_name_or_first_bytes(tmp_path):
    path = save_dicom(tmp_path / "1.2.840.113", [[0, 1]])
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
    path = save_dicom(tmp_path / "a.dcm", [[0, 1]])
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install captum_clustered\[dicom\]"):
        read_image(path)
