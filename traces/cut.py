"""Cuts a piece out of a trace, with the mappings that were live where it begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from traces.counted import write_counted
from traces.errors import TraceError
from traces.live import Live
from traces.manifest import Manifest
from traces.reader import Trace

NEVER = 1 << 64


@dataclass(frozen=True)
class Span:
    """Which events: those from number `first` and time `from_ns` on, and before `last` and `to_ns`."""

    first: int = 0
    from_ns: int = 0
    last: int = NEVER
    to_ns: int = NEVER
    text: str = ""

    def of(self, block: np.ndarray, row: int) -> tuple[int, int]:
        """Return where the span begins and ends in a block whose first event has number `row`."""
        t = block["t_ns"]
        size = block.size

        def at(number: int, ns: int) -> tuple[int, int]:
            by_time = size if ns >= NEVER else int(np.searchsorted(t, np.uint64(ns)))
            return min(max(number - row, 0), size), by_time

        begin, end = max(at(self.first, self.from_ns)), min(at(self.last, self.to_ns))
        return begin, max(begin, end)


def cut(trace: Trace, path: str | Path, span: Span, name: str | None = None) -> Manifest:
    """Write the events of a span to a trace of its own; return its manifest.

    Times count from the span's first event.  Before it come the MAPs that were live there.

    Parameters
    ----------
    trace : Trace
    path : str or pathlib.Path
    span : Span
    name : str, optional
        Otherwise the trace's, with ``-cut``.

    Raises
    ------
    TraceError
        No event is in the span, or one of the files cannot be read or written.
    """
    live = Live(trace.manifest.spaces)
    blocks = trace.blocks()
    row = 0
    for block in blocks:
        begin, end = span.of(block, row)
        live.feed(block[:begin])
        if begin < end:
            break
        row += block.size
    else:
        last = f"{trace.rows:,} events"
        raise TraceError("nothing in the cut", trace.path, f"an event in it {span.text}".rstrip(), last)
    start_ns = int(block["t_ns"][begin])
    maps = live.maps()

    def rest() -> Iterator[np.ndarray]:
        yield maps
        at, part, (first, upto) = row, block, (begin, end)
        while True:
            kept = part[first:upto].copy()
            kept["t_ns"] -= np.uint64(start_ns)
            yield kept
            at += part.size
            following = next(blocks, None) if upto == part.size else None
            if following is None:
                return
            part = following
            first, upto = span.of(part, at)

    manifest = _manifest(trace, span, name, row + begin, start_ns, maps.size)
    return write_counted(path, manifest, rest(), trace.rows)


def _manifest(trace: Trace, span: Span, name: str | None, row: int, start_ns: int, maps: int) -> Manifest:
    m = trace.manifest
    note = (
        f"cut from {m.name} (SHA-256 {trace.sha256}) {span.text}: its first event was number {row:,}, at "
        f"{start_ns:,} ns; before it stand, at time 0, the {maps:,} MAPs that were live there"
    )
    changes: dict[str, Any] = {
        "name": name or f"{m.name}-cut",
        "title": f"{m.title} (a cut)",
        # A cut of what a formula made is no evidence of a device either.
        "kind": "synthetic" if m.kind == "synthetic" else "derived",
        "sha256": trace.sha256,
        "not_contained": [
            *m.not_contained,
            "What came before: TLBs are cold at the start, without the entries that outlived an UNMAP.",
        ],
        "notes": [*m.notes, note],
        "counts": {},
    }
    return Manifest.model_validate(m.model_dump(exclude_none=True) | changes)
