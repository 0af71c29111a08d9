"""Freed memory that a process uses again."""

import platform
import subprocess
import sys

import pytest

# Counts the pages that the system provides for blocks that are as large as some freed before: the
# first ones do not fit exactly where others were.
COUNT = """
import resource, torch
from captum_clustered._freed_memory import keep_freed_memory
{call}
for n_blocks in (40, 10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n_blocks):
        torch.ones(10 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide themselves")
@pytest.mark.parametrize(("call", "are_kept"), [("keep_freed_memory()", True), ("", False)])
def test_blocks_of_the_size_of_freed_ones_need_no_new_pages(call, are_kept):
    command = [sys.executable, "-c", COUNT.format(call=call)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    # A block of 40 MiB has 10,240 pages of 4 KiB, or 20 of 2 MiB.
    assert (int(done.stdout) < 10 * 20) == are_kept
