"""Peak memory of calls, on top of the model and its inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from multiprocessing import get_context

import torch
from process_memory import highest_memory

from speed.calls import make_calls, make_case
from speed.settings import precision


def peak_memory(
    names: Sequence[str],
    place: tuple[str, str],
    batch_size: int,
    device: str,
    threads: int,
    *,
    setting: str,
) -> dict[str, float]:
    """
    MiB of each of these calls, for a model and its layer in a setting.

    On a GPU from the allocator. On a CPU by how much a process of its own grows with the
    call, after a small batch that has everything loaded: what a process has taken once it
    seldom gives back, so calls cannot share one.
    """
    model, layer = place
    if device == "cuda":
        calls = make_calls(make_case(model, batch_size, device, layer, setting))
        with precision(setting, torch.device(device)):
            return {name: _on_gpu(calls[name]) for name in names}
    # glibc then gives back at once what is freed, and the peak is what was in use, not what the
    # allocator has kept.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "65536")
    found = {}
    for name in names:
        with get_context("spawn").Pool(1) as pool:
            found[name] = pool.apply(_on_cpu, (model, layer, batch_size, name, threads, setting))
    return found


def _on_gpu(call: Callable[[], object]) -> float:
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return float(torch.cuda.max_memory_allocated() - before) / 2**20


def _on_cpu(
    model: str, layer: str, batch_size: int, name: str, threads: int, setting: str
) -> float:
    torch.set_num_threads(threads)
    case = make_case(model, batch_size, "cpu", layer, setting)
    with precision(setting, case.device):
        make_calls(case.first())[name]()
        before = highest_memory()
        make_calls(case)[name]()
        return highest_memory() - before
