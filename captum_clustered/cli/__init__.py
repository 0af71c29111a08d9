"""The command line: ``captum-clustered``."""

from __future__ import annotations

from importlib.util import find_spec

from captum_clustered._freed_memory import keep_freed_memory

__all__ = ["main"]

# The packages of the extra "cli", by the names under which they are imported.
REQUIRED = ("matplotlib", "PIL", "rich", "safetensors", "torchvision", "typer")


def main() -> None:
    """
    Run the command line.

    Raises:

        SystemExit: Always; with status 1 and one sentence if the extra "cli" is not
                    installed.
    """
    missing = [name for name in REQUIRED if find_spec(name) is None]
    if missing:
        raise SystemExit(
            f"captum-clustered needs {', '.join(missing)}: pip install captum_clustered[cli]"
        )
    from captum_clustered.cli.app import app

    keep_freed_memory()
    app()
