"""Measure the time of a run as a multiple of plain forward passes over the same loader."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from captum_clustered.dataset_run import LocalEngine, Run
from captum_clustered.dataset_run.engine import Job
from captum_clustered.dataset_run.explaining import RunSettings
from captum_clustered.dataset_run.loading import LoadedBatch, in_processes
from whole_data.case import Case


def timing(case: Case, num_workers: int) -> dict[str, float]:
    """
    Measure both, chunk by chunk in turn, so that a busy machine slows both alike.

    Forward passes read the same batches through the same loader. A chunk of the run is read,
    explained and stored, and the disk is synchronized. What a run does once (hashing the
    weights, trying the first image) is reported separately.
    """
    with tempfile.TemporaryDirectory() as folder:
        once = _seconds(lambda: case.run(Path(folder), LocalEngine(num_workers)))
        run = Run(folder)
        stored = sum(path.stat().st_size for path in Path(folder, "chunks").iterdir())
        items, cam = case.items(), case.method()
        settings = RunSettings(attribute_to_layer_input=True)
        job = Job(cam, settings, items, items.names, run.manifest, Path(folder))
        network = cam.forward_func
        seconds: dict[str, list[float]] = {"forward": [], "run": []}
        device = torch.device("cpu")
        for chunk in range(run.manifest.n_chunks):
            batches = job.batches([chunk])

            def read(batches: list[range] = batches) -> Iterator[LoadedBatch]:
                return in_processes(job.reader, batches, num_workers, False)

            def forward(read: Callable[[], Iterator[LoadedBatch]] = read) -> None:
                with torch.no_grad():
                    for batch in read():
                        network(batch.inputs)

            def explain(
                chunk: int = chunk, read: Callable[[], Iterator[LoadedBatch]] = read
            ) -> None:
                job.explain_chunks([chunk], read(), device, lambda _: None)

            calls: list[tuple[str, Callable[[], None]]] = [("forward", forward), ("run", explain)]
            for name, call in calls if chunk % 2 else calls[::-1]:
                seconds[name].append(_seconds(call))
    totals = {name: sum(values) for name, values in seconds.items()}
    n_images = len(items)
    pairs = zip(seconds["run"], seconds["forward"], strict=True)
    return {
        "images": n_images,
        "batch size": run.manifest.batch_size,
        "forward, images/s": n_images / totals["forward"],
        "run, images/s": n_images / totals["run"],
        "ratio of totals": totals["run"] / totals["forward"],
        "median ratio of chunks": statistics.median(a / b for a, b in pairs),
        "whole run with its start, s": once,
        "bytes stored for each image": stored / n_images,
    }


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
