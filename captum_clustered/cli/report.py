"""The command report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Argument, Option

from captum_clustered._errors import UserError, one_line, printable
from captum_clustered.cli.console import out, sentences

__all__ = ["report"]


def report(
    run_dir: Annotated[Path, Argument(help="The folder that compare or explain wrote.")],
    out_file: Annotated[
        Path | None, Option("--out", help="HTML file (default: report.html in RUN_DIR).")
    ] = None,
) -> None:
    """
    Show the results of compare or explain as one HTML page.

    The page contains the images and needs only a browser.
    """
    with sentences():
        from captum_clustered.report import write_report

        try:
            path = write_report(run_dir, out_file)
        except OSError as error:
            raise UserError(f"The report cannot be written: {one_line(error)}") from error
        size = path.stat().st_size / 1e6
        out.print(Text(f"Wrote {printable(path)} ({size:.1f} MB)"), soft_wrap=True)
