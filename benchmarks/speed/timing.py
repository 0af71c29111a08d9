"""Time of calls that take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pandas as pd  # type: ignore[import-untyped]
import torch

from speed.calls import FORWARD


def seconds_of(
    calls: dict[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """
    Seconds of each call in each round, after one round to warm up.

    In each round all calls take turns, so that a busy machine slows them alike. On a GPU
    the events of its own clock are taken.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            taken = _on_gpu(call) if device.type == "cuda" else _on_cpu(call)
            if turn:
                found[name].append(taken)
    return found


def ratios(seconds: dict[str, list[float]]) -> pd.DataFrame:
    """
    Each call's time as a multiple of the plain forward pass of the same round.

    Returns:
        pandas.DataFrame: Columns method, milliseconds (median), ratio (median), low, high
        (least and greatest).
    """
    rows = []
    for name, times in seconds.items():
        values = [t / f for t, f in zip(times, seconds[FORWARD], strict=True)]
        rows.append(
            {
                "method": name,
                "milliseconds": 1e3 * statistics.median(times),
                "ratio": statistics.median(values),
                "low": min(values),
                "high": max(values),
            }
        )
    return pd.DataFrame(rows)


def _on_cpu(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _on_gpu(call: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1e3
