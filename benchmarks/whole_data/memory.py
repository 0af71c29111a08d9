"""Measure the peak memory of runs over few and over many images."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from process_memory import highest_memory

from captum_clustered.dataset_run import LocalEngine
from whole_data.case import Case


def memory(case: Case, n_images: list[int], num_workers: int) -> dict[str, float]:
    """Return the peak memory in MiB for each number of images, each run in its own process."""
    found = {}
    context = get_context("spawn")
    for number in n_images:
        receiver, sender = context.Pipe(duplex=False)
        # A pool's processes may not have children, which read the images.
        process = context.Process(
            target=_peak, args=(replace(case, n_images=number), num_workers, sender)
        )
        process.start()
        found[f"peak MiB, {number} images"] = float(receiver.recv())
        process.join()
    return found


def _peak(case: Case, num_workers: int, sender: Connection) -> None:
    with tempfile.TemporaryDirectory() as folder:
        case.run(Path(folder), LocalEngine(num_workers))
    sender.send(highest_memory())
