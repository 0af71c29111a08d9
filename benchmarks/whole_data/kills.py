"""Kill a run repeatedly and compare its files with those of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from torch import Tensor

from captum_clustered.dataset_run import LocalEngine, RayEngine, Run, explain_dataset
from whole_data.case import Case


def kills(case: Case, cycles: int, num_workers: int, seed: int) -> dict[str, Any]:
    """
    Kill a run ``cycles`` times at random moments and start it again each time.

    Returns:
        dict: The number of chunks after each cycle, and whether all files equal those of an
        undisturbed run.
    """
    moments = random.Random(seed)  # noqa: S311
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        killed, whole = Path(folder, "killed"), Path(folder, "whole")
        start = time.perf_counter()
        case.run(whole, LocalEngine(num_workers), fit=2 * (case.batch_size or 1))
        seconds = time.perf_counter() - start
        # Seconds per chunk of an undisturbed run, including its share of the start.
        each = seconds / Run(whole).manifest.n_chunks
        chunks = [0]
        for _ in range(cycles):
            process = context.Process(target=_run, args=(case, killed, num_workers))
            process.start()
            # Three times out of four, wait until it has stored another chunk.
            wanted = chunks[-1] + (moments.random() < 0.75)
            while process.is_alive() and _n_chunks(killed) < wanted:
                time.sleep(0.01)
            process.join(moments.uniform(0, 2 * each))
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
            process.join()
            chunks.append(_n_chunks(killed))
        _run(case, killed, num_workers)
        items = Run(killed).table(["index"])["index"].to_pylist()
        return {
            "chunks after each kill": chunks[1:],
            "each image once": items == list(range(len(case.items()))),
            "same files as undisturbed": _contents(killed) == _contents(whole),
        }


class _Deadly:
    """Kills the process that reads one of the images, once."""

    def __init__(self, items: Any, index: int, flag: Path) -> None:
        self.items, self.index, self.flag = items, index, flag

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, int | None]:
        if index == self.index and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        found: tuple[Tensor, int | None] = self.items[index]
        return found


def killed_worker(case: Case, workers: int, num_workers: int) -> dict[str, Any]:
    """Compare a run on Ray, one of whose workers is killed, with a run in this process."""
    with tempfile.TemporaryDirectory() as folder:
        on_ray, whole = Path(folder, "ray"), Path(folder, "whole")
        case.run(whole, LocalEngine(num_workers))
        items, flag = case.items(), Path(folder, "flag")
        explain_dataset(
            case.method(),
            _Deadly(items, len(items) // 2, flag),
            on_ray,
            names=items.names,
            attribute_to_layer_input=True,
            batch_size=case.batch_size,
            chunk_size=case.chunk_size,
            engine=RayEngine(workers),
        )
        return {
            "a worker was killed": flag.exists(),
            "same files as in one process": _contents(on_ray) == _contents(whole),
        }


def _run(case: Case, out: Path, num_workers: int) -> None:
    case.run(out, LocalEngine(num_workers), fit=2 * (case.batch_size or 1))


def _n_chunks(folder: Path) -> int:
    return len(list((folder / "chunks").glob("*.parquet")))


def _contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
