"""Where the command line writes to."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = [
    "err",
    "note",
    "out",
    "progress_bar",
    "run_bar",
    "say_error",
    "show",
    "show_error",
]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
UNWRAPPED = 200


def say_error(message: str) -> None:
    """One sentence to stderr; text, not markup: file names may hold brackets."""
    err.print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)


def show(renderable: RenderableType) -> None:
    """A table to stdout."""
    _print_wide(out, renderable)


def show_error(renderable: RenderableType) -> None:
    """A table to stderr."""
    _print_wide(err, renderable)


def _print_wide(console: Console, renderable: RenderableType) -> None:
    # In a pipe or a file there is no edge at which names would have to be broken.
    if not console.is_terminal:
        console = Console(stderr=console.stderr, highlight=False, width=UNWRAPPED)
    console.print(renderable)


def note(message: str) -> None:
    """A remark about a result that is there."""
    out.print(Text.assemble(("Note: ", "yellow"), message), soft_wrap=True)


def progress_bar(needed: bool = True) -> Progress:
    """A progress bar, silent where nobody watches or it is not needed."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=out,
        transient=True,
        disable=not (needed and out.is_terminal),
    )


class _Rate(ProgressColumn):
    """Images in a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} images/s")


def run_bar() -> Progress:
    """A progress bar for hours: with the rate and the time that is left."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=out,
        transient=True,
        disable=not out.is_terminal,
        # A batch is a step, and there may be few in a minute.
        speed_estimate_period=120,
    )
