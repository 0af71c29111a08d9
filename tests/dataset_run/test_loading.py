import os
import subprocess
import sys
import time

import pytest
import torch

from captum_clustered.dataset_run.loading import (
    BatchReader,
    in_processes,
    in_threads,
    read_item,
)


class Uneven:
    """Numbers, of which early ones take longer; 3 cannot be read."""

    def __getitem__(self, index):
        time.sleep(0.003 * (5 - index % 5))
        if index == 3:
            raise KeyError("no such thing\nand more")
        return torch.tensor([float(index)]), index


BATCHES = [range(2), range(2, 4), range(4, 6), range(6, 7), range(7, 10)]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
@pytest.mark.parametrize("how", [in_threads, in_processes])
def test_batches_come_in_order(how, num_workers):
    options = {"pin_memory": False} if how is in_processes else {}
    found = list(how(BatchReader(Uneven(), (1,)), BATCHES, num_workers, **options))
    assert [list(batch.items) for batch in found] == list(map(list, BATCHES))
    for batch in found:
        assert batch.good == [index for index in batch.items if index != 3]
        assert batch.inputs[:, 0].tolist() == batch.good == batch.labels
    assert found[1].errors == {3: "KeyError: 'no such thing\\nand more'"}


DEADLY = """
import os, signal, time
import torch
from torch.utils.data import dataloader
from captum_clustered.dataset_run.loading import BatchReader, in_processes

# A process that gives nothing is looked at at once, and not only after five seconds.
dataloader._MultiProcessingDataLoaderIter._try_get_data.__defaults__ = (0.2,)

class Deadly:
    def __getitem__(self, index):
        if index == 5:
            # So that what was read before has arrived.
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(1)

before = signal.getsignal(signal.SIGCHLD)
for batch in in_processes(BatchReader(Deadly(), (1,)), [[0], [1], [5], [6]], 1, False):
    print(batch.items, signal.getsignal(signal.SIGCHLD) is before, flush=True)
    # What is done while the reader dies is not disturbed.
    if batch.items == [1]:
        try:
            if hasattr(os, "waitid"):
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            else:
                time.sleep(1.5)
            sum(range(10))
        except Exception as error:
            print("disturbed by", error)
"""


def test_a_worker_that_dies_is_named_when_it_is_asked_for_a_batch():
    # In a process of its own, in which torch may say it anywhere.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(  # noqa: S603
        [sys.executable, "-c", DEADLY],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.splitlines() == ["[0] True", "[1] True"]
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: a process that reads images has died (DataLoader worker")


def test_a_batch_without_a_good_item():
    batch = BatchReader(Uneven(), (1,))[[3]]
    assert batch.inputs is None
    assert batch.pin_memory() is batch
    assert list(batch.errors) == [3]


def test_what_items_may_be():
    x = torch.ones(2)
    for item, label in ((x, None), ((x,), None), ([x, 1], 1), ((x, torch.tensor(2), "a"), 2)):
        value, found = read_item([item], 0, needs_label=False)
        assert value is x
        assert found == label
    for item in (3, (), ("a", x)):
        with pytest.raises(TypeError, match="dataset must give a tensor"):
            read_item([item], 0, needs_label=False)
