"""Writes a stream of events with a manifest that says how many accesses each stream has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from traces.events import EXEC
from traces.manifest import Manifest
from traces.writer import TraceWriter

#: Levels of zstd, and the most rows that the slower one is used for.
HARD, FAST = 19, 3
MANY = 1 << 23


def write_counted(path: str | Path, manifest: Manifest, blocks: Iterable[np.ndarray], rows: int) -> Manifest:
    """Write a trace, whole or not at all, and return its manifest, the accesses of each stream filled in.

    Parameters
    ----------
    path : str or pathlib.Path
    manifest : Manifest
    blocks : iterable of numpy.ndarray
        1-D, dtype `traces.events.EVENT`.
    rows : int
        About how many events there are: many are compressed less hard, which is five times as fast.

    Raises
    ------
    TraceError
        As `traces.writer.TraceWriter`.
    """
    accesses = np.zeros(1 << 16, np.int64)
    level = HARD if rows <= MANY else FAST
    with TraceWriter(path, manifest, level=level) as writer:
        for block in blocks:
            writer.append(block)
            accesses += np.bincount(block["stream"][block["op"] <= EXEC], minlength=1 << 16)
        streams = [s.model_copy(update={"accesses": int(accesses[s.stream])}) for s in manifest.streams]
        writer.manifest = writer.manifest.model_copy(update={"streams": streams})
    return writer.manifest
