"""A kernel log as an answer: its faults decoded, counted and put into bursts, and what it cannot tell."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench import fault_eras
from bench.fault_decode import Decoded, decode
from bench.units import exact_ns
from traces.errors import TraceError
from traces.importers.result import Dropped
from traces.importers.source import Source
from traces.kernel_log import Fault, Log, scan

#: Faults of one device closer than this are one burst, unless told otherwise.
GAP_NS = 50_000_000

#: What no log of the kernel's can tell.
UNKNOWABLE = (
    "how many faults there were: a ratelimit lets 10 prints through in 5 s, and MULTI tells no number",
    "when a fault happened: the time is that of the print, later by an interrupt, perhaps a thread's wake",
    "which stream it was, for sure: CBFRSYNRA is advice",
    "what was mapped at the address, before or then",
    "what the client did, and when RESUME was written",
)


@dataclass(frozen=True)
class Row:
    """One fault with what it means, and the policies that can have printed it."""

    fault: Fault
    decoded: Decoded
    policies: tuple[str, ...]

    @property
    def timed(self) -> bool:
        """Whether its time can be compared to better than a second."""
        fault = self.fault
        return fault.time_ns is not None and (fault.clock != "wall" or any(c in fault.stamp for c in ".,"))


@dataclass(frozen=True)
class Burst:
    """Faults of one device, each closer to the one before than the stated gap."""

    rows: tuple[Row, ...]
    gaps: tuple[int, ...]

    @property
    def gap_ns(self) -> int:
        """The middle distance."""
        return median(self.gaps)

    @property
    def scenario(self) -> str:
        """The scenario that has as many faults at that distance, in the direction of most."""
        writes = [row.decoded.write for row in self.rows if row.decoded.write is not None]
        op = "write" if sum(writes) * 2 > len(writes) else "read"
        return f"burst:n={len(self.rows)},gap={exact_ns(self.gap_ns)},op={op}"

    @property
    def policies(self) -> tuple[str, ...]:
        """Those that can have printed every line of it."""
        first, *others = (row.policies for row in self.rows)
        return tuple(key for key in first if all(key in other for other in others))


@dataclass(frozen=True)
class FaultLog:
    """One log, decoded."""

    log: Log
    rows: tuple[Row, ...]
    bursts: tuple[Burst, ...]
    gaps: tuple[int, ...]
    gap_ns: int

    def counts(self) -> dict[str, dict[str, int]]:
        """Count faults by cause, device and layout, most first."""
        causes = Counter(row.decoded.cause or "not told" for row in self.rows)
        devices = Counter(row.fault.device or "not told" for row in self.rows)
        layouts = Counter(row.fault.layout for row in self.rows)
        return {name: dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
                for name, found in (("cause", causes), ("device", devices), ("layout", layouts))}  # fmt: skip

    @property
    def longest(self) -> Burst | None:
        """The burst with most faults, the first of several."""
        return max(self.bursts, key=lambda burst: len(burst.rows), default=None)


def open_log(path: str) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a log: a file, packed or not, or stdin where the path is ``-``.

    Raises
    ------
    TraceError
        No such file, a damaged one, or no text.
    """
    if path == "-" or (Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir()):
        # A pipe may be packed too, and is told by its beginning.
        with tempfile.NamedTemporaryFile() as spool:
            if path == "-":
                shutil.copyfileobj(sys.stdin.buffer, spool)
            else:
                with Path(path).open("rb") as pipe:
                    shutil.copyfileobj(pipe, spool)
            spool.flush()
            with Source(spool.name, Dropped()) as source:
                source.path = Path("stdin" if path == "-" else path)
                yield from _lines(source)
        return
    with Source(path, Dropped()) as source:
        yield from _lines(source)


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    head = source.head()[:4096]
    strange = sum(byte < 32 and byte not in b"\t\n\r\x1b\x00" for byte in head)
    if strange * 10 > len(head):
        found = f"{strange} control characters of {len(head)}"
        raise TraceError("not a log", source.line(1), "text", found)
    yield from source.cut_lines()


def read(lines: Iterable[tuple[int, str]], gap_ns: int = GAP_NS) -> FaultLog:
    """Read a log.

    Parameters
    ----------
    lines : iterable of (int, str)
    gap_ns : int
        Faults of one device at most this far apart belong to one burst.
    """
    log = scan(lines)
    rows = []
    for fault in log.faults:
        decoded = decode(fault)
        rows.append(Row(fault, decoded, fault_eras.policies(fault, decoded)))
    gaps: list[int] = []
    bursts: list[Burst] = []
    for run in _runs(rows):
        times = [row.fault.time_ns or 0 for row in run]
        between = [b - a for a, b in pairwise(times)]
        gaps += between
        bursts += _bursts(run, between, gap_ns)
    bursts.sort(key=lambda burst: burst.rows[0].fault.lines[0])
    return FaultLog(log, tuple(rows), tuple(bursts), tuple(sorted(gaps)), gap_ns)


def _runs(rows: Sequence[Row]) -> list[list[Row]]:
    """Return timed faults by device, clock and boot, each run in order of time."""
    runs: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        if row.timed:
            runs.setdefault((row.fault.device, row.fault.clock, row.fault.boot), []).append(row)
    return [
        sorted(run, key=lambda row: (row.fault.time_ns or 0, row.fault.lines[0])) for run in runs.values()
    ]


def _bursts(run: Sequence[Row], between: Sequence[int], gap_ns: int) -> Iterator[Burst]:
    start = 0
    for k in range(1, len(run) + 1):
        if k == len(run) or between[k - 1] > gap_ns:
            if k - start > 1:
                yield Burst(tuple(run[start:k]), tuple(between[start : k - 1]))
            start = k


def median(values: Sequence[int]) -> int:
    """Return the middle value, the lower of two: one that was seen.

    >>> median([5, 1, 9]), median([1, 2])
    (5, 1)
    """
    return sorted(values)[(len(values) - 1) // 2]


def to_json(made: FaultLog) -> dict[str, Any]:
    """Return everything as JSON has it; addresses and registers are numbers."""
    return {
        "lines": made.log.lines,
        "faults": [_fault_json(row) for row in made.rows],
        "counts": made.counts(),
        "gaps_ns": _ends(made.gaps),
        "bursts": [
            {"device": b.rows[0].fault.device, "lines": [row.fault.lines[0] for row in b.rows],
             "faults": len(b.rows), "gap_ns": b.gap_ns, "span_ns": sum(b.gaps), "scenario": b.scenario,
             "policies": list(b.policies)}
            for b in made.bursts
        ],
        "burst_gap_ns": made.gap_ns,
        "suppressed": [vars(s) for s in made.log.suppressed],
        "notes": [vars(n) for n in made.log.notes],
        "malformed": [vars(m) for m in made.log.malformed],
        "cannot_be_known": list(UNKNOWABLE),
    }  # fmt: skip


def _ends(gaps: Sequence[int]) -> dict[str, int] | None:
    return {"min": gaps[0], "p50": median(gaps), "max": gaps[-1]} if gaps else None


def _fault_json(row: Row) -> dict[str, Any]:
    f, d = row.fault, row.decoded
    numbers = {name: getattr(f, name) for name in ("iova", "fsr", "fsynr0", "fsynr1", "cb", "sid", "ttbr0")}
    return {
        "lines": list(f.lines), "layout": f.layout, "kind": f.kind, "driver": f.driver, "device": f.device,
        "time_ns": f.time_ns, "clock": f.clock, "boot": f.boot, "stamp": f.stamp, **numbers,
        "cause": d.cause or None, "level": d.level, "write": d.write, "stall": d.stall, "multi": d.multi,
        "words": list(f.words), "said": dict(f.said), "flags": list(f.flags), "disagrees": list(d.disagrees),
        "policies": list(row.policies),
    }  # fmt: skip
