"""Write the page of a run's folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from captum_clustered._storage.layout import (
    LEFT_OUT,
    MANIFEST,
    REPORT,
    SETTINGS,
    STATE,
    RunDescription,
)
from captum_clustered.report.content import Report
from captum_clustered.report.from_explanations import explain_report
from captum_clustered.report.page import page_of, render


def write_report(
    run_dir: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, dataset: Any = None
) -> Path:
    """
    Write the results of a run as one HTML page.

    The page has the summary with intervals, every image with the map of every method, the
    clusters where they are known, and what was left out. It needs only a browser and loads
    nothing, so it can be sent to others. It contains the images.

    Args:

        run_dir (str or PathLike): The folder ``--out`` of ``captum-clustered compare``,
                    ``explain`` or ``run``, ``save_to`` of
                    :func:`captum_clustered.comparison.compare`, or the folder of
                    :func:`captum_clustered.dataset_run.explain_dataset`.
        out (str or PathLike, optional): File of the page. Further pages of a run over more
                    than about 2,000 images have its name with ``-2``, ``-3``, ... at the end.
                    Default: None (``report.html`` in ``run_dir``)
        dataset (Dataset, optional): The data set of a run, which stores no images. Items are
                    the network's inputs, PIL images or arrays (H, W, 3) in 0..255, alone or
                    before a label.
                    Default: None (the maps of a run alone)

    Returns:
        Path: File of the first page.

    Raises:

        ValueError: If ``run_dir`` is no such folder, one of its files is missing or
                    damaged, or ``dataset`` is given for a folder of compare or explain.
        OSError: If a file cannot be read or written.

    Examples::

        >>> compare(net, net.layer4, loader, save_to="runs/layer4")
        >>> write_report("runs/layer4")
    """
    folder = Path(run_dir)
    first = folder / REPORT if out is None else Path(out)
    for report in _reports(folder, dataset):
        page_of(first, report.page).write_text(render(report, first), encoding="utf-8")
    return first


def _reports(folder: Path, dataset: Any) -> Iterable[Report]:
    if (folder / MANIFEST).exists():
        # Imported here because it needs pyarrow.
        from captum_clustered.dataset_run import Run
        from captum_clustered.report.from_run import run_reports

        return run_reports(Run(folder), dataset)
    if dataset is not None:
        raise ValueError(
            f"dataset is for a folder of run; run_dir={str(folder)!r} is none, and what compare "
            "and explain write has its images."
        )
    return [_report(folder)]


def _report(folder: Path) -> Report:
    name = f"run_dir={str(folder)!r}"
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "there is no such folder"
        raise ValueError(f"{name} must be a folder of compare, explain or run; {what}.")
    command, python = folder / STATE / SETTINGS, folder / SETTINGS
    if command.exists() or python.exists():
        # Imported here because it needs pandas.
        from captum_clustered.report.from_comparison import compare_report

        if command.exists():
            return compare_report(folder / STATE, RunDescription.load(folder))
        return compare_report(folder)
    arrays = sorted(folder.glob("*.npz"))
    if not arrays:
        what = "it has other files" if any(folder.iterdir()) else "it is empty"
        raise ValueError(
            f"{name} must be a folder of compare, explain or run, with "
            f"{STATE}/{SETTINGS}, {SETTINGS}, *.npz or {MANIFEST} in it; {what}."
        )
    return explain_report(arrays, folder / LEFT_OUT)
