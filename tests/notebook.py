"""Executes docs/forecasts.ipynb: `python -m tests.notebook` writes its outputs anew.

The notebook reads the ledger of docs/analyst.md, which `python -m tests.notebook` makes in a temporary
folder.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests import cookbook

NOTEBOOK = cookbook.ROOT / "docs" / "forecasts.ipynb"
DATA_FOLDER = "sql-demo"


def executed(ledger: Path) -> nbformat.NotebookNode:
    """The notebook after a run on the ledger in the folder `ledger`, without the times of its
    cells.

    Raises:
        CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "docs").mkdir()
        (Path(folder) / DATA_FOLDER).symlink_to(ledger.resolve())
        # The kernel starts in docs/, as Jupyter does, and finds the library of this checkout.
        environment = os.environ | {"PYTHONPATH": str(cookbook.ROOT)}
        resources = {"metadata": {"path": str(Path(folder) / "docs")}}
        NotebookClient(notebook, timeout=120, record_timing=False, resources=resources).execute(
            env=environment
        )
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    return notebook


def main():
    """Write the notebook with the outputs of a ledger.

    Of the folder given, else of one made for it.
    """
    if len(sys.argv) > 1:
        nbformat.write(executed(Path(sys.argv[1])), sys.argv[2] if len(sys.argv) > 2 else NOTEBOOK)
        return
    text = cookbook.DOCUMENT.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, cookbook.ledger(Path(folder), text):
        nbformat.write(executed(Path(folder)), NOTEBOOK)


if __name__ == "__main__":
    main()
