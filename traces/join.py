"""Joins traces into one, interleaved by time: their devices behind one SMMU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from traces.counted import write_counted
from traces.errors import TraceError
from traces.events import EXEC, MARK
from traces.interleave import interleave
from traces.manifest import Manifest, Tool
from traces.reader import Trace

VERSION = "1"
_NUMBERS = 1 << 16


@dataclass(frozen=True)
class _Moved:
    """What the numbers of one trace become."""

    streams: np.ndarray  # by stream ID
    space: int
    mark: int
    vmids: dict[int, int]


def join(traces: Sequence[Trace], path: str | Path, name: str | None = None) -> Manifest:
    """Write the events of several traces, by time, to one; return its manifest.

    The first keeps its numbers.  Spaces, marks, and streams and VMIDs that clash get new ones.

    Parameters
    ----------
    traces : sequence of Trace
        Two or more.
    path : str or pathlib.Path
    name : str, optional
        Otherwise the traces', with dashes between them.

    Raises
    ------
    TraceError
        Invalidations that do not go together, too many streams or spaces, or a file that cannot be
        read or written.
    """
    invalidation = _invalidation(traces)
    moved = _moves(traces)
    manifest = _manifest(traces, moved, invalidation, name)
    sources = [_renumbered(trace, its) for trace, its in zip(traces, moved, strict=True)]
    return write_counted(path, manifest, interleave(sources), sum(trace.rows for trace in traces))


def _invalidation(traces: Sequence[Trace]) -> str:
    """Return how UNMAPs invalidate in all traces; one without UNMAPs goes with any."""
    bound = {t.manifest.invalidation: t for t in traces if t.manifest.counts.get("UNMAP", 1)}
    if len(bound) > 1:
        found = "; ".join(f"{how} in {trace.path}" for how, trace in sorted(bound.items()))
        raise TraceError("traces that cannot be joined", traces[0].path, "one kind of invalidation", found)
    return next(iter(bound), traces[0].manifest.invalidation)


def _moves(traces: Sequence[Trace]) -> list[_Moved]:
    taken: set[int] = set()
    vmids: set[int] = set()
    made = []
    space = mark = 0
    # All of them, so that what is renumbered does not take an ID that a later trace could keep.
    wanted = {s.stream for trace in traces for s in trace.manifest.streams}
    named = {s.vmid for trace in traces for s in trace.manifest.spaces if s.vmid is not None}
    for trace in traces:
        m = trace.manifest
        to = np.arange(_NUMBERS, dtype=np.uint16)
        for stream in m.streams:
            to[stream.stream] = _free(stream.stream, taken, wanted, "streams", trace)
        renamed = {
            vmid: _free(vmid, vmids, named, "VMIDs", trace)
            for vmid in sorted({s.vmid for s in m.spaces if s.vmid is not None})
        }
        made.append(_Moved(to, space, mark, renamed))
        space += len(m.spaces)
        mark += len(m.marks)
        if space > _NUMBERS:
            raise TraceError("too many spaces", trace.path, f"at most {_NUMBERS:,} in all", f"{space:,}")
    return made


def _free(number: int, taken: set[int], wanted: set[int], what: str, trace: Trace) -> int:
    """Return the number itself, or the lowest that nobody has or wants; it is taken then."""
    if number in taken:
        found = next((n for n in range(_NUMBERS) if n not in taken and n not in wanted), None)
        if found is None:
            raise TraceError(f"too many {what}", trace.path, f"at most {_NUMBERS:,} in all")
        number = found
    taken.add(number)
    return number


def _renumbered(trace: Trace, moved: _Moved) -> Iterator[np.ndarray]:
    for block in trace.blocks():
        made = block.copy()
        access, mark = block["op"] <= EXEC, block["op"] == MARK
        made["stream"][access] = moved.streams[block["stream"][access]]
        made["space"][~mark] += np.uint16(moved.space)
        made["iova"][mark] += np.uint64(moved.mark)
        yield made


def _spaces(trace: Trace, moved: _Moved) -> list[dict[str, Any]]:
    made = []
    for space in trace.manifest.spaces:
        fields = space.model_dump(exclude_none=True)
        # An ASID that was the space's number stays what it was.
        fields |= {
            "space": space.space + moved.space,
            "asid": space.space if space.asid is None else space.asid,
        }
        if space.vmid is not None:
            fields["vmid"] = moved.vmids[space.vmid]
        if space.stage2 is not None:
            fields["stage2"] = space.stage2 + moved.space
        made.append(fields)
    return made


def _manifest(
    traces: Sequence[Trace], moved: Sequence[_Moved], invalidation: str, name: str | None
) -> Manifest:
    parts = [trace.manifest for trace in traces]
    synthetic = all(m.kind == "synthetic" for m in parts)
    streams = [
        {"stream": int(its.streams[s.stream]), "name": s.name, "space": s.space + its.space}
        for m, its in zip(parts, moved, strict=True)
        for s in m.streams
    ]
    notes = [
        f"part {k}: {m.name}, {m.kind}, SHA-256 {trace.sha256}"
        + (f", recorded {m.recorded}" if m.recorded else "")
        for k, (m, trace) in enumerate(zip(parts, traces, strict=True), 1)
    ]
    parameters = {
        f"{k}.{key}": value for k, m in enumerate(parts, 1) for key, value in (m.parameters or {}).items()
    }
    return Manifest.model_validate(
        {
            "name": name or "-".join(m.name for m in parts),
            "title": " + ".join(m.title for m in parts),
            "kind": "synthetic" if synthetic else "derived",
            "source": _said(m.source for m in parts),
            "device": _said(m.device for m in parts),
            "tool": Tool(name="smmubench traces merge", version=VERSION).model_dump(),
            "kernel": _said(m.kernel for m in parts if m.kernel) or None,
            "clock": _said(m.clock for m in parts),
            "clock_is_real": all(m.clock_is_real for m in parts),
            "streams": streams,
            "spaces": [space for t, its in zip(traces, moved, strict=True) for space in _spaces(t, its)],
            "marks": [mark for m in parts for mark in m.marks],
            "licence": " AND ".join(dict.fromkeys(m.licence for m in parts)),
            "invalidation": invalidation,
            "direction": _said(m.direction for m in parts),
            "not_contained": [
                *dict.fromkeys(f"{m.name}: {line}" for m in parts for line in m.not_contained),
                "What the parts do to one another: each was made or recorded alone.",
            ],
            "notes": notes + [f"part {k}: {line}" for k, m in enumerate(parts, 1) for line in m.notes],
            "parameters": parameters or None,
        }
    )


def _said(texts: Any) -> str:
    return "; ".join(dict.fromkeys(texts))
