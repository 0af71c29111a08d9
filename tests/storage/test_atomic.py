import os

import pytest

from captum_clustered._storage.atomic import remove_unfinished, write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, step):
    path = tmp_path / "a.bin"
    write_whole(path, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_only_what_is_unfinished_and_ours_is_removed(tmp_path):
    names = ["chunk-1.parquet", "chunk-1.parquet.0f.part", "film.part"]
    for name in names:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path, "chunk-")
    assert sorted(os.listdir(tmp_path)) == ["chunk-1.parquet", "film.part"]
