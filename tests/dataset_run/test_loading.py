import os
import signal
import time

import pytest
import torch

from captum_clustered.dataset_run.loading import (
    BatchReader,
    in_processes,
    in_threads,
    read_item,
    reason,
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


class Deadly(Uneven):
    """Kills the process that reads 5, if it is a worker."""

    def __getitem__(self, index):
        if index == 5 and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_worker_that_dies_is_named():
    batches = in_processes(BatchReader(Deadly(), (1,)), BATCHES, 1, pin_memory=False)
    with pytest.raises(RuntimeError, match=r"a process that reads images has died \(DataLoader w"):
        list(batches)


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


def test_reasons_are_one_line():
    assert reason(ValueError("a\nb")) == "a"
    assert reason(OSError(2, "No such file", "x")) == "[Errno 2] No such file: 'x'"
    assert reason(IndexError("a")) == "IndexError: a"
    assert reason(RuntimeError()) == "RuntimeError"
