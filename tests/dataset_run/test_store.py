"""A chunk counts if it is whole, and of this run."""

import os
import time

import pytest
from forks import exit_code, process
from small_runs import Pictures, contents, run

from captum_clustered.dataset_run import Run, store
from captum_clustered.dataset_run.store import Manifest, RunStore


@pytest.fixture
def folder(tmp_path):
    run(tmp_path / "out")
    return tmp_path / "out"


def test_a_cut_off_chunk_is_computed_again_at_any_length(folder):
    store, manifest = RunStore(folder), Run(folder).manifest
    path = store.path(1)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        assert store.read(1, manifest) is None
    path.write_bytes(whole)
    assert store.read(1, manifest) is not None
    path.write_bytes(whole[: len(whole) // 2])
    run(folder)
    assert path.read_bytes() == whole


def test_a_changed_byte_is_seen_or_changes_nothing(folder):
    store, manifest = RunStore(folder), Run(folder).manifest
    path = store.path(1)
    whole = path.read_bytes()
    table = store.read(1, manifest)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for position in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[position] ^= 0x21
        path.write_bytes(changed)
        found = store.read(1, manifest)
        # The footer has parts that mean nothing here, such as the version of its writer.
        assert found is None or (position >= footer and found.equals(table))


def test_chunks_of_another_run_or_place_do_not_count(folder, tmp_path):
    store, manifest = RunStore(folder), Run(folder).manifest
    other = run(tmp_path / "other", target=1)
    foreign = RunStore(other.folder)
    store.path(0).write_bytes(foreign.path(0).read_bytes())
    store.path(1).write_bytes(store.path(2).read_bytes())
    assert list(store.missing(manifest)) == [0, 1]
    run(folder)
    run(tmp_path / "whole")
    assert contents(folder) == contents(tmp_path / "whole")


def test_what_a_killed_process_was_writing_is_removed(folder):
    whole = contents(folder)
    for name in ("chunks/chunk-0000009.parquet", "manifest.json", "clusters.json", "errors.csv"):
        (folder / f"{name}.00.part").write_bytes(b"PAR1")
    run(folder)
    assert contents(folder) == whole


def test_only_what_is_missing_is_computed(folder):
    RunStore(folder).path(1).unlink()
    times = {path: path.stat().st_mtime_ns for path in folder.glob("chunks/*")}
    run(folder)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert Run(folder).is_complete


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "3"])
def test_a_damaged_manifest_is_named(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        run(folder)


def test_a_later_format_is_named(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ValueError, match="has format 2; this version"):
        Run(folder)


def test_chunks_and_batches_are_fixed_slices():
    manifest = Manifest({}, 11, 2, 4, 1, [3], [2, 8, 8])
    assert manifest.n_chunks == 3
    assert [list(manifest.items_of(chunk)) for chunk in range(3)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10],
    ]
    assert list(map(list, manifest.batches_of(2))) == [[8, 9], [10]]


def _hold(folder):
    with store.RunStore(folder).only_writer():
        held = folder / "held"
        held.touch()
        while held.exists():
            time.sleep(0.01)


def test_two_processes_do_not_write_into_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.1)
    with process(_hold, tmp_path) as holder:
        held = tmp_path / "held"
        while not held.exists():
            assert holder.is_alive()
            time.sleep(0.01)
        with pytest.raises(RuntimeError, match="another run is writing"):
            run(tmp_path)
        held.unlink()
        holder.join()
    assert run(tmp_path, Pictures(3)).is_complete


def _orphan(folder):
    with store.RunStore(folder).only_writer():
        if os.fork() == 0:
            # A process that reads images, which does not notice at once that this one has died.
            time.sleep(2)
        else:
            os.kill(os.getpid(), 9)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_that_outlive_a_killed_run_do_not_keep_its_folder(tmp_path):
    assert exit_code(_orphan, tmp_path) == -9
    assert run(tmp_path, Pictures(3)).is_complete


def test_one_process_does_not_write_twice_into_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.1)

    def again(done, total):
        with pytest.raises(RuntimeError, match="another run is writing"):
            run(tmp_path / "." / ".." / tmp_path.name)

    assert run(tmp_path, progress=again).is_complete
