import os
import pickle

import pytest

from captum_clustered.data._names import Names


def test_names_are_a_sequence():
    names = Names(["a", "bcd", "", "é"])
    assert len(names) == 4
    assert names[-1] == names[3] == "é"
    assert names[:2] == ["a", "bcd"]
    assert names[::-2] == ["é", "bcd"]
    assert list(names) == ["a", "bcd", "", "é"]
    assert "bcd" in names
    with pytest.raises(IndexError):
        names[4]


def test_none_are_an_empty_sequence():
    assert list(Names([])) == []


def test_bytes_that_are_no_text_stay_apart():
    files = [os.fsdecode(name) for name in (b"\xfe.png", b"\xff.png")]
    names = Names(files)
    assert list(names) == [r"\xfe.png", r"\xff.png"]
    assert [names.file(index) for index in (0, 1)] == files


def test_they_are_one_block_of_memory():
    names = Names([f"{n:08}.png" for n in range(1000)])
    # Of each name its twelve bytes and where it ends, and no object.
    assert len(pickle.dumps(names)) < 1000 * (12 + 8) + 500
