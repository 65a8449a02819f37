"""Compile and run the C++ side."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

COMPILER = "g++"
FLAGS = ("-std=c++17", "-O3", "-march=native")
HERE = Path(__file__).parent


def compiler() -> str | None:
    """Return the compiler's path, or None where there is none."""
    return shutil.which(COMPILER)


def compiled(folder: Path) -> Path:
    """Compile the yardstick into `folder`; return the program."""
    found = compiler()
    assert found is not None, "ask compiler() first"
    program = folder / "yardstick"
    subprocess.run([found, *FLAGS, str(HERE / "main.cpp"), "-o", str(program)], check=True)
    return program


def run(program: Path, iovas: Path, repeats: int = 1) -> dict[str, dict[str, Any]]:
    """Run every variant `repeats` times over a file of uint64 IOVAs.

    Returns
    -------
    dict
        By variant: `ns_per_access` of each repetition, and the counts.
    """
    done = subprocess.run([program, iovas, str(repeats)], check=True, capture_output=True, text=True)
    return {result.pop("variant"): result for result in json.loads(done.stdout)}
