"""The peak memory of this process."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def highest_memory() -> float:
    """Return the peak memory of this process in MiB."""
    if STATUS.exists():
        # On Linux, getrusage's figure is inherited from the process that started this one.
        found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text(encoding="ascii"))
        if found:
            return int(found[1]) / 2**10
    # Kilobytes, bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
