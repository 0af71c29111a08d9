"""Kill -9 at any moment, start again: as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from small_runs import Pictures, contents, method, run

from captum_clustered.dataset_run import Run

# One thread: two would wait for each other, spinning, on a machine with other work to do.
PROGRAM = """
import sys
import torch
torch.set_num_threads(1)
from small_runs import Pictures, run
run(sys.argv[1], Pictures(24, seconds=0.02), fit=6)
"""
CYCLES = 3
# Seconds. Only a run that hangs takes so long, however busy the machine is.
HANGS = 1800


@pytest.fixture
def start(tmp_path):
    """Starts a run in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = []

    def begin():
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", PROGRAM, tmp_path / "killed"], env=environment
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def chunks_in(folder):
    return len(list((folder / "chunks").glob("chunk-*.parquet")))


@pytest.mark.slow
def test_killed_again_and_again(tmp_path, start):
    moments = random.Random(0)  # noqa: S311
    folder = tmp_path / "killed"
    for cycle in range(1, CYCLES + 1):
        process = start()
        # Never before it got anywhere, or the last cycle would have to do all the work.
        deadline = time.monotonic() + HANGS
        while chunks_in(folder) < cycle and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (folder / "errors.csv").exists()
    assert 0 < chunks_in(folder) < 6
    assert start().wait(HANGS) == 0
    run(tmp_path / "whole", Pictures(24), method(), fit=6)
    assert contents(folder) == contents(tmp_path / "whole")
    assert Run(folder).table(["index"])["index"].to_pylist() == list(range(24))
