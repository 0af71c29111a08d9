"""Runs the notebooks in place, and fails at the first error: python notebooks/execute.py"""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def main() -> None:
    """Executes each notebook of this folder and keeps its output."""
    # What is kept here is published: no images of patients, unless they are asked for by name.
    os.environ.setdefault("CAPTUM_CLUSTERED_DATA", "none")
    for path in sorted(Path(__file__).parent.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook, timeout=600, resources={"metadata": {"path": path.parent}}
        ).execute()
        for cell in notebook.cells:
            # When and for how long a cell ran would change the file at each run.
            cell.metadata.pop("execution", None)
        nbformat.write(notebook, path)
        print(f"{path.name}: done")


if __name__ == "__main__":
    main()
