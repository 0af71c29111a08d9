"""Write the page of a run's folder."""

from __future__ import annotations

import os
from pathlib import Path

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
from captum_clustered.report.page import render


def write_report(
    run_dir: str | os.PathLike[str], out: str | os.PathLike[str] | None = None
) -> Path:
    """
    Write the results of a run as one HTML page.

    The page has the summary with intervals, every image with the map of every method, the
    clusters where they are known, and what was left out. It needs only a browser and loads
    nothing, so it can be sent to others. It contains the images.

    Args:

        run_dir (str or PathLike): The folder ``--out`` of ``captum-clustered compare`` or
                    ``explain``, or ``save_to`` of
                    :func:`captum_clustered.comparison.compare`.
        out (str or PathLike, optional): File of the page.
                    Default: None (``report.html`` in ``run_dir``)

    Returns:
        Path: File of the page.

    Raises:

        ValueError: If ``run_dir`` is no such folder, or one of its files is missing or
                    damaged.
        OSError: If a file cannot be read or written.

    Examples::

        >>> compare(net, net.layer4, loader, save_to="runs/layer4")
        >>> write_report("runs/layer4")
    """
    folder = Path(run_dir)
    page = render(_report(folder))
    path = folder / REPORT if out is None else Path(out)
    path.write_text(page, encoding="utf-8")
    return path


def _report(folder: Path) -> Report:
    name = f"run_dir={str(folder)!r}"
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "there is no such folder"
        raise ValueError(f"{name} must be a folder that compare or explain has written; {what}.")
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
        if (folder / MANIFEST).exists():
            what = "it is a folder of run, which `captum-clustered clusters` reads"
        raise ValueError(
            f"{name} must be a folder that compare or explain has written, with "
            f"{STATE}/{SETTINGS}, {SETTINGS} or *.npz in it; {what}."
        )
    return explain_report(arrays, folder / LEFT_OUT)
