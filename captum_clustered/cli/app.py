"""The commands and their registration."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from captum_clustered._errors import needs_extra
from captum_clustered._version import __version__
from captum_clustered.cli.console import out, sentences

# What --help says of each command. The module of the same name holds the command; it is imported
# when the command is called, so that --help and --version take no time.
COMMANDS = {
    "explain": "Explain what a network sees in images or volumes.",
    "layers": "List the layers of a model that can be shown as a map.",
    "demo": "Explain photographs with an ImageNet network; nothing is downloaded.",
    "compare": "Compare methods on a folder of images, by many metrics and against controls.",
    "report": "Show the results of compare, explain or run as one HTML page.",
    "run": "Explain a whole data set; an interrupted run can be resumed.",
    "clusters": "Show the importance of each cluster over a whole data set.",
}
# The extra that a command needs beyond "cli".
EXTRAS = {"compare": "comparison", "run": "run", "clusters": "run"}


def load_command(name: str) -> Any:
    """Return the click command of this name, with all its options."""
    with needs_extra(name, EXTRAS.get(name, "cli")):
        module = import_module(f"captum_clustered.cli.{name}")
    single = typer.Typer(add_completion=False)
    single.command(name)(getattr(module, name))
    return typer.main.get_command(single)


class _Commands(TyperGroup):
    """The commands by their names, each loaded when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in COMMANDS:
            with sentences():
                self.commands[args[0]] = load_command(args[0])
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    help="Class activation maps from clusters of channels (Clustered-CAM).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


def _unloaded() -> None:
    """Stand for a command until it is called."""


for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(_unloaded)
