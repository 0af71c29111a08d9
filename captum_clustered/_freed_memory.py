"""What the C library does with memory that was freed."""

from __future__ import annotations

import ctypes
import sys

# Numbers of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# Blocks up to this size are kept. Their number depends on chance, so larger ones could take much
# memory in vain.
LARGEST = 2**26
# So much is kept at the end of the heap.
KEPT = 2**29


def keep_freed_memory() -> None:
    """
    Let this process use its freed memory again, where it runs on Linux with glibc.

    By default, glibc returns large blocks to the system and asks for new ones, whose pages the
    system fills with zeros one by one. On a CPU, that can take longer than a small network.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, KEPT)
