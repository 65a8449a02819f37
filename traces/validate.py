"""Checks a whole trace file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from traces.errors import TraceError
from traces.events import OP_NAMES
from traces.manifest import Manifest
from traces.reader import open_trace


@dataclass(frozen=True)
class Report:
    """What `validate` found in a sound trace.

    Attributes
    ----------
    path : pathlib.Path
    manifest : Manifest
    rows : int
    counts : dict of str to int
        Events by op name, ops without events included.
    last_ns : int
        Time of the last event, ns.
    """

    path: Path
    manifest: Manifest
    rows: int
    counts: dict[str, int]
    last_ns: int


def validate(path: str | Path) -> Report:
    """Check every row of a trace against the format's rules.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    Report

    Raises
    ------
    TraceError
        At the first thing wrong: see `traces.reader.open_trace` and `traces.checks.BlockChecker`, and
        event counts that differ from the manifest's.
    """
    trace = open_trace(path)
    counts: Counter[int] = Counter()
    last_ns = 0
    for block in trace.blocks(thorough=True):
        ops, n = np.unique(block["op"], return_counts=True)
        counts.update(dict(zip(ops.tolist(), n.tolist(), strict=True)))
        last_ns = int(block["t_ns"][-1])
    named = {name: counts[op] for op, name in enumerate(OP_NAMES)}
    for name, said in trace.manifest.counts.items():
        if said != named[name]:
            raise TraceError(f"the manifest's count of {name} is wrong", path, str(named[name]), str(said))
    return Report(trace.path, trace.manifest, trace.rows, named, last_ns)
