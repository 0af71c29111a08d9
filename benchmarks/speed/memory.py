"""Peak memory of calls, on top of the model and its inputs."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from multiprocessing import get_context

import torch

from speed.calls import make_calls, make_case


def peak_memory(model: str, batch_size: int, device: str, threads: int) -> dict[str, float]:
    """
    MiB of each call.

    On a GPU from the allocator. On a CPU by how much a process of its own grows with the
    call, after a small batch that has everything loaded: what a process has taken once it
    seldom gives back, so calls cannot share one.
    """
    names = list(make_calls(make_case(model, 1, "cpu", size=64)))
    if device == "cuda":
        calls = make_calls(make_case(model, batch_size, device))
        return {name: _on_gpu(calls[name]) for name in names}
    found = {}
    for name in names:
        with get_context("spawn").Pool(1) as pool:
            found[name] = pool.apply(_on_cpu, (model, batch_size, name, threads))
    return found


def _on_gpu(call: Callable[[], object]) -> float:
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return float(torch.cuda.max_memory_allocated() - before) / 2**20


def _on_cpu(model: str, batch_size: int, name: str, threads: int) -> float:
    torch.set_num_threads(threads)
    case = make_case(model, batch_size, "cpu")
    make_calls(case.first())[name]()
    before = _highest()
    make_calls(case)[name]()
    return _highest() - before


def _highest() -> float:
    """The most MiB that this process has had."""
    # Kilobytes on Linux, bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
