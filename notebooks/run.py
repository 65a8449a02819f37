"""Run the notebooks and write them, with their outputs, to a folder: `make notebooks`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
#: Seconds that a notebook may take.
LIMIT = 60


def notebooks() -> list[Path]:
    """Return the notebooks, in order."""
    return sorted(HERE.glob("[0-9]*.py"))


def run(path: Path, limit: int = LIMIT) -> Any:
    """Run a notebook in a fresh kernel; return it with its outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
    """
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(path)
    return NotebookClient(notebook, timeout=limit, kernel_name="python3",
                          resources={"metadata": {"path": str(HERE.parent)}}).execute()  # fmt: skip


def main() -> None:
    """Run all of them."""
    import nbformat

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/notebooks")
    folder.mkdir(parents=True, exist_ok=True)
    for path in notebooks():
        target = folder / f"{path.stem}.ipynb"
        nbformat.write(run(path), target)
        print(f"notebooks: {target}", flush=True)


if __name__ == "__main__":
    main()
