"""Run the notebooks and keep them, with what came out, beside their sources: `make notebooks`.

What is kept says nothing of the machine or the moment it ran on, so that running again changes only what the
library answers otherwise.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
#: Seconds that a notebook may take.
LIMIT = 60


def notebooks() -> list[Path]:
    """Return the sources of the notebooks, in order."""
    return sorted(HERE.glob("[0-9]*.py"))


def source(path: Path) -> Any:
    """Return a notebook as it is before it runs, its cells numbered."""
    import jupytext

    notebook = jupytext.read(path)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"
    return notebook


def run(path: Path, limit: int = LIMIT) -> Any:
    """Run a notebook in a fresh kernel; return it with its outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
    """
    from nbclient import NotebookClient
    from traitlets.config import Config

    notebook = source(path)
    # A socket file: a kernel that listens on TCP could be talked to by others of the machine.
    config = Config({"KernelManager": {"transport": "ipc"}})
    client = NotebookClient(
        notebook,
        timeout=limit,
        kernel_name="python3",
        resources={"metadata": {"path": str(HERE.parent)}},
        record_timing=False,
        config=config,
    )
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def main() -> None:
    """Run all of them."""
    import nbformat

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    folder.mkdir(parents=True, exist_ok=True)
    for path in notebooks():
        target = folder / f"{path.stem}.ipynb"
        print(f"notebooks: {path.name} runs", flush=True)
        began = time.monotonic()
        made = run(path)
        beside = target.with_suffix(".part")
        nbformat.write(made, beside)
        os.replace(beside, target)
        print(f"notebooks: {target.name}, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
