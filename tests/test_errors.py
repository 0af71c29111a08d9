import os

import pytest

from captum_clustered._errors import (
    ImageError,
    UserError,
    as_user_error,
    close_matches,
    explained,
    one_line,
    printable,
)


def test_a_reason_is_one_line():
    assert one_line(ValueError("a\nb")) == "a"
    assert one_line(OSError(2, "No such file", "x")) == "[Errno 2] No such file: 'x'"
    assert one_line(ModuleNotFoundError("No module named 'x'")) == "No module named 'x'"
    assert one_line(IndexError("a")) == "IndexError: a"
    assert one_line(RuntimeError()) == "RuntimeError"


@pytest.mark.parametrize("kind", [ValueError, ImageError, FileNotFoundError, ModuleNotFoundError])
def test_what_the_user_can_correct_becomes_a_sentence(kind):
    with (
        pytest.raises(UserError, match=r"\A--images: There is none\.\Z"),
        as_user_error("--images"),
    ):
        raise kind("There is none.")
    with pytest.raises(UserError, match=r"\AThere is none\.\Z"), as_user_error():
        raise kind("There is none.")


@pytest.mark.parametrize("kind", [TypeError, KeyError, KeyboardInterrupt])
def test_mistakes_of_the_program_stay_what_they_are(kind):
    with pytest.raises(kind), as_user_error():
        raise kind


def test_foreign_failures_get_a_beginning_and_a_type():
    with pytest.raises(UserError, match=r"\Ait fails: KeyError: 'x'\Z"), explained("it fails"):
        raise KeyError("x")
    with (
        pytest.raises(ImageError, match=r"\Ait fails: cut off\Z"),
        explained("it fails", ImageError),
    ):
        raise ValueError("cut off\nhere")
    with pytest.raises(ValueError, match=r"\Ait fails: bad\Z"), explained("it fails", ValueError):
        raise ValueError("bad")
    for ours in (UserError, ImageError):
        with pytest.raises(ours, match=r"\Aclear\Z"), explained("it fails", ImageError):
            raise ours("clear")


def test_names_of_files_need_not_be_text():
    assert printable(os.fsdecode(b"a\xff.png")) == "a\ufffd.png"


def test_close_words_are_offered():
    assert close_matches("benig", ["benign", "malignant"]) == " Did you mean 'benign'?"
    assert close_matches("xyz", ["benign"]) == ""
