import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from forks import exit_code
from small_runs import Pictures, run

from captum_clustered.dataset_run import Run, store


def test_a_damaged_chunk_is_not_left_out_without_a_word(tmp_path):
    found = run(tmp_path)
    path = found._store.path(1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    for read in (found.table, found.errors, lambda: found.table(["item"])):
        with pytest.raises(ValueError, match=r"chunk-0000001\.parquet is damaged.*to compute it"):
            read()
    assert run(tmp_path).table().equals(run(tmp_path / "other").table())
    assert path.read_bytes() == whole


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder of `run`"):
        Run(tmp_path)


def test_unknown_columns_are_named(tmp_path):
    with pytest.raises(ValueError, match="columns has \\['map'\\]; a run has 'index'"):
        run(tmp_path, Pictures(2)).table(["map"])


def test_other_programs_can_read_the_files(tmp_path):
    run(tmp_path)
    path = tmp_path / "chunks" / "chunk-0000001.parquet"
    frame = pq.read_table(path).to_pandas()
    assert list(frame.columns) == store.SCHEMA.names
    assert frame["attribution"][0].shape == (120,)
    assert frame["error"][1] == "image file is truncated"


def threads_that_begin(folder):
    found = Run(folder)
    before = len(os.listdir("/proc/self/task"))
    found.attributions(found.table())
    return len(os.listdir("/proc/self/task")) - before


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_reading_starts_no_threads(tmp_path):
    # Arrow's and torch's at the end of a process now and then abort it.
    run(tmp_path)
    assert exit_code(threads_that_begin, tmp_path) == 0
