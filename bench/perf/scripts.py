"""Runs the suite's scripts, each by itself, into one pyperf file."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError, unknown

if TYPE_CHECKING:
    from bench.perf.suite import Benchmark, Command

#: Exit status of a script none of whose benchmarks has a name with the word of ``--only`` in it.
NONE_OF_THAT_NAME = 3

ROOT = Path(__file__).resolve().parents[2]


def names(root: Path = ROOT) -> list[str]:
    """Return the scripts of a checkout: ``bm_faults``, ``bm_translate`` ..."""
    return sorted(path.stem for path in (root / "bench").glob("bm_*.py"))


def choose(wanted: Sequence[str], root: Path = ROOT) -> list[str]:
    """Return the scripts called `wanted`, with or without ``bm_``; all if none is named.

    Raises
    ------
    UsageError
        There is none of that name, or none at all.
    """
    known = names(root)
    if not known:
        raise UsageError("no benchmarks", root / "bench", "bm_*.py", "none")
    made = []
    for name in wanted:
        full = name if name.startswith("bm_") else f"bm_{name}"
        if full not in known:
            raise unknown("benchmark script", "SCRIPT", [one.removeprefix("bm_") for one in known], name)
        made.append(full)
    return list(dict.fromkeys(made)) or known


def benchmarks(script: str) -> list[Benchmark | Command]:
    """Return what a script of this checkout times, in its order; nothing is prepared or run.

    Parameters
    ----------
    script : str
        Such as ``bm_translate``.
    """
    made: list[Benchmark | Command] = importlib.import_module(f"bench.{script}").benchmarks()
    return made


def run(
    script: str,
    out: Path,
    arguments: Sequence[str] = (),
    root: Path = ROOT,
    quiet: bool = False,
) -> bool:
    """Run one script of the checkout at `root`, and append its results to the pyperf file `out`.

    Parameters
    ----------
    script : str
        Such as ``bm_translate``.
    out : pathlib.Path
        Made if it is not there.
    arguments : sequence of str
        pyperf's.
    quiet : bool
        Leave pyperf's own output away.

    Returns
    -------
    bool
        False if the script has no benchmark of the name that was asked for with ``--only``.

    Raises
    ------
    UsageError
        The script fails; with its last line.
    """
    # The script runs elsewhere.
    target = str(out.resolve())
    command = [sys.executable, str(root / "bench" / f"{script}.py"), "--append", target, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, check=False, text=True,
                          stdout=subprocess.PIPE if quiet else None,
                          stderr=subprocess.PIPE if quiet else None)  # fmt: skip
    if done.returncode == NONE_OF_THAT_NAME:
        return False
    if done.returncode:
        last = (done.stderr or "").strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise UsageError("a benchmark failed", f"{script}.py", "exit status 0", last[0])
    return True
