"""Run the notebooks in place and stop at the first error: python notebooks/execute.py"""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def main() -> None:
    """Execute each notebook of this folder and save its output."""
    # The saved output is published: use images of patients only on explicit request.
    os.environ.setdefault("CAPTUM_CLUSTERED_DATA", "none")
    for path in sorted(Path(__file__).parent.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook, timeout=600, resources={"metadata": {"path": path.parent}}
        ).execute()
        for cell in notebook.cells:
            # Execution times would change the file at each run.
            cell.metadata.pop("execution", None)
        nbformat.write(notebook, path)
        print(f"{path.name}: done")


if __name__ == "__main__":
    main()
