"""What the command line prints: errors, notes, tables and progress."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from PIL import Image
from rich import box
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from captum_clustered._errors import UserError, as_user_error

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
UNWRAPPED = 200


@contextmanager
def sentences() -> Iterator[None]:
    """Print an error that the user can correct as a sentence; end the command with status 1."""
    try:
        with as_user_error():
            yield
    except UserError as error:
        say_error(str(error))
        raise typer.Exit(1) from None


def say_error(message: str) -> None:
    """Print one sentence to stderr, as text without markup: file names may hold brackets."""
    err.print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)


def show(renderable: RenderableType, console: Console = out) -> None:
    """Print a table."""
    # A pipe or a file has no edge, so names need not be broken there.
    if not console.is_terminal:
        console = Console(stderr=console.stderr, highlight=False, width=UNWRAPPED)
    console.print(renderable)


def note(message: str) -> None:
    """Print a remark about a result."""
    out.print(Text.assemble(("Note: ", "yellow"), message), soft_wrap=True)


@contextmanager
def user_warnings(say: Callable[[str], Any]) -> Iterator[None]:
    """Say each of the package's warnings once, and at once: a run takes hours."""
    # Imported here because --help needs no torch.
    from torch.utils.data import get_worker_info

    said: set[str] = set()

    def show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        # Processes that read images share the terminal, but not the set.
        if category is UserWarning and text not in said and get_worker_info() is None:
            said.add(text)
            say(text)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        # Pillow's own words; read_image has others.
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        warnings.showwarning = show_warning
        yield


class _Rate(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} images/s")


def progress_bar(needed: bool = True) -> Progress:
    """Return a bar of images, their rate and the time left; it is silent outside a terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=out,
        transient=True,
        disable=not (needed and out.is_terminal),
        # A step is a batch, and there may be few per minute.
        speed_estimate_period=120,
    )


def titled(title: str, *columns: str, right: Sequence[str] = ()) -> tuple[Group, Table]:
    """Return a table below its title, and the table; columns in ``right`` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for column in columns:
        justify: JustifyMethod = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold")
    return Group("", Text(title, style="bold"), table, ""), table


def failure_table(
    failures: Sequence[tuple[str, str]], title: str = "Failed images", column: str = "Image"
) -> Group:
    """Return a table of what failed, and why."""
    group, table = titled(title, column, "Reason")
    for name, reason in failures:
        table.add_row(Text(name), Text(reason))
    return group
