"""Freed memory that a process uses again."""

import platform
import subprocess
import sys

import pytest

# Counts the pages that the system provides for a block that is as large as one freed before.
COUNT = """
import resource, torch
from captum_clustered._freed_memory import keep_freed_memory
{call}
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**26)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide themselves")
@pytest.mark.parametrize(("call", "is_kept"), [("keep_freed_memory()", True), ("", False)])
def test_a_block_of_the_size_of_a_freed_one_needs_no_new_pages(call, is_kept):
    code = COUNT.format(call=call)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    # 256 MiB are 65,536 pages of 4 KiB, or 128 of 2 MiB.
    assert (int(done.stdout) < 64) == is_kept
