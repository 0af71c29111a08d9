"""Kill -9 at any moment, start again: as if nothing had happened."""

import random
import time

import pytest
from forks import exit_code, process
from small_runs import Pictures, contents, method, run

from captum_clustered.dataset_run import Run

CYCLES = 3
# Seconds. Only a run that hangs takes so long, however busy the machine is.
HANGS = 1800


def begin(folder):
    run(folder, Pictures(24, seconds=0.02), fit=6)


def chunks_in(folder):
    return len(list((folder / "chunks").glob("chunk-*.parquet")))


@pytest.mark.slow
def test_killed_again_and_again(tmp_path):
    moments = random.Random(0)  # noqa: S311
    folder = tmp_path / "killed"
    for cycle in range(1, CYCLES + 1):
        with process(begin, folder) as begun:
            # Never before it got anywhere, or the last cycle would have to do all the work.
            deadline = time.monotonic() + HANGS
            while chunks_in(folder) < cycle and begun.is_alive():
                assert time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(moments.uniform(0, 0.15))
        assert not (folder / "errors.csv").exists()
    assert 0 < chunks_in(folder) < 6
    assert exit_code(begin, folder) == 0
    run(tmp_path / "whole", Pictures(24), method(), fit=6)
    assert contents(folder) == contents(tmp_path / "whole")
    assert Run(folder).table(["index"])["index"].to_pylist() == list(range(24))
