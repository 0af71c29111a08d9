"""The command report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.text import Text
from typer import Argument, Option

from captum_clustered._errors import UserError, one_line, printable
from captum_clustered._storage.layout import COMMAND
from captum_clustered.cli.console import out, progress_bar, sentences
from captum_clustered.data._originals import Original

if TYPE_CHECKING:
    from captum_clustered.cli.prepared import Prepared


def report(
    run_dir: Annotated[Path, Argument(help="The folder that compare, explain or run wrote.")],
    out_file: Annotated[
        Path | None, Option("--out", help="HTML file (default: report.html in RUN_DIR).")
    ] = None,
) -> None:
    """
    Show the results of compare, explain or run as one HTML page.

    The page contains the images and needs only a browser. Images of a run are read again: they
    and the model must be where they were.
    """
    with sentences():
        from captum_clustered.report import write_report

        if not run_dir.exists():
            raise UserError(f"There is no folder {printable(run_dir)}.")
        try:
            if (run_dir / COMMAND).is_file():
                path = _of_run(run_dir, out_file)
            else:
                path = write_report(run_dir, out_file)
        except OSError as error:
            raise UserError(f"The report cannot be written: {one_line(error)}") from error
        out.print(Text(f"Wrote {printable(path)} ({_size(path)})"), soft_wrap=True)


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"


def _of_run(run_dir: Path, out_file: Path | None) -> Path:
    # Imported here because they need the packages of a run.
    from captum_clustered.cli.prepared import Prepared
    from captum_clustered.dataset_run import Run
    from captum_clustered.report import write_report

    run = Run(run_dir)
    prepared = Prepared.load_again(run_dir)
    prepared.check_same(run)
    with progress_bar() as bar:
        task = bar.add_task("Reading images", total=len(prepared.items))
        return write_report(run_dir, out_file, _Seen(prepared, lambda: bar.advance(task)))


@dataclass(frozen=True)
class _Seen:
    """Each image as it was before preprocessing."""

    prepared: Prepared
    on_image: Callable[[], None]

    def __getitem__(self, index: int) -> Original:
        self.on_image()
        return Original.read(self.prepared.items, index, self.prepared.explainer.preprocessing)
