"""Imports the page faults that NVIDIA's UVM driver logs, at the GPU's own times."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from traces.errors import TraceError
from traces.events import EVENT, EXEC, PA_UNKNOWN, READ, UNMAP, WRITE
from traces.importers.ordered import ROW, Ordered
from traces.importers.result import Draft, Options, as_granule, table_problem
from traces.importers.source import Source

WHAT = "a log of NVIDIA UVM page faults"
OPTIONS: frozenset[str] = frozenset({"granule"})

#: Rows that are taken together.
_BLOCK = 1 << 15
#: GPCs and uTLBs that have a stream of their own.
_MOST_STREAMS = 1024
_OTHERS = "further GPCs and uTLBs"

_FAULTS = {0: "INVALID_PDE", 1: "INVALID_PTE", 2: "ATOMIC", 3: "WRITE", 4: "READ"}
#: Access -> name, and what it is to an SMMU.
_ACCESSES = {0: ("prefetches", READ), 1: ("reads", READ), 2: ("writes", WRITE), 3: ("atomics", WRITE),
             4: ("atomics", WRITE)}  # fmt: skip
#: After the address and the time: fault, access, mask, instances, client type, MMU engine type, client,
#: engine, uTLB, GPC, channel, VE.
_NUMBERS = 12
_FAULT, _ACCESS, _INSTANCES, _CLIENT_TYPE, _UTLB, _GPC, _CHANNEL = 0, 1, 3, 4, 8, 9, 10

_SNIFF = re.compile(
    rb"(?m)^[0-9]{1,3},[0-9]{1,20},[0-9]{1,20},[^;\n]{0,40};"
    rb"(?:f,[0-9a-f]{1,16},[0-9]{1,20},[0-9]|uvm range destroy )"
)
_RECORD = re.compile(r"[0-9]{1,4},([0-9]{1,19}),[0-9]{1,19},[^;]{0,80};(.*)")
_FIELDS = re.compile(rf"f,([0-9a-f]{{1,16}}),([0-9]{{1,19}})((?:,[0-9]{{1,10}}){{{_NUMBERS}}})")
_DESTROY = re.compile(r"uvm range destroy .{0,80}: 0x([0-9a-f]{1,16}), ([0-9]{1,19})")


def sniff(head: bytes, name: str) -> bool:
    """Tell whether a file begins like a kernel's records with UVM's faults."""
    return _SNIFF.search(head) is not None


def draft(source: Source) -> Draft:
    """Return the manifest's beginnings."""
    return Draft(
        title=f"Page faults of an NVIDIA GPU, from {source.path.name.encode(errors='replace').decode()}",
        kind="captured",
        source="a log of NVIDIA's UVM driver that somebody recorded; the file does not say who",
        device="an NVIDIA GPU behind its own MMU",
        tool="NVIDIA's UVM driver, made to log its faults",
        clock="the GPU's own timer, as its fault buffer stamps each fault, from the first",
        clock_is_real=True,
        direction="As each fault says; prefetches are reads, atomics are writes.",
        not_contained=[
            "An SMMU: addresses are CUDA's virtual ones, of the GPU's own MMU.",
            "Accesses that did not fault, and those that a fault of the same page stands for.",
            "MAPs: replay it with --scenario demand, where a pager maps what faults.",
            "Offsets in a page, and lengths: the driver logs the page.",
            "When a fault was served.",
        ],
    )


def read(source: Source, draft: Draft, options: Options) -> Iterator[np.ndarray]:
    """Yield the faults as accesses, by the GPU's time."""
    draft.granule = as_granule(options.granule)
    draft.space("all", "the GPU's virtual addresses")
    with Ordered(source.scratch) as ordered:
        importer = _Importer(source, draft, ordered)
        for number, line in source.log_lines():
            try:
                importer.line(line, source.line(number))
            except TraceError as error:
                source.dropped.refuse(error.what, error.where, error.expected, error.found)
            if len(importer.rows) >= _BLOCK:
                importer.flush()
        importer.flush()
        for rows in ordered.blocks():
            yield importer.events(rows)
        if importer.faults:
            importer.conclude()


class _Importer:
    """Makes rows of lines."""

    def __init__(self, source: Source, draft: Draft, ordered: Ordered) -> None:
        self.source = source
        self.draft = draft
        self.ordered = ordered
        self.rows: list[tuple[int, int, int, int, int, int]] = []
        self.streams: dict[tuple[int, int, int], int] = {}
        self.channels: set[int] = set()
        self.kinds: Counter[str] = Counter()
        self.first, self.latest, self.number = -1, 0, 0
        self.faults = self.instances = self.step = self.back = self.previous = 0
        self.batches = self.batch = self.largest = self.destroyed = self.passed = self.gaps = 0
        self.sequence = -1

    def line(self, line: str, where: str) -> None:
        """Read a line."""
        record = _RECORD.fullmatch(line)
        if record is None:
            if line.startswith(" "):  # a record's further fields, KEY=VALUE
                self.passed += 1
                return
            raise TraceError(
                "cannot read the line", where, "PRIORITY,NUMBER,MICROSECONDS,FLAGS;TEXT", line[:80]
            )
        sequence, text = int(record[1]), record[2]
        self.gaps += self.sequence >= 0 and sequence != self.sequence + 1
        self.sequence = sequence
        self.number += 1
        if text.startswith("f,"):
            self._fault(text, where)
        elif text.startswith("s,"):
            self.batches, self.batch = self.batches + 1, 0
        elif text.startswith("uvm range destroy"):
            self._destroy(text, where)
        elif not text.startswith("b,"):
            self.passed += 1

    def _fault(self, text: str, where: str) -> None:
        match = _FIELDS.fullmatch(text)
        if match is None:
            expected = f"f,ADDRESS,TIME and {_NUMBERS} numbers"
            raise TraceError("cannot read the fault", where, expected, text[:80])
        iova, t = int(match[1], 16), int(match[2])
        numbers = [int(text) for text in match[3][1:].split(",")]
        if iova >> 49 or t >= 1 << 63:
            found = f"{iova:#x} at {t}"
            raise TraceError("a bad fault", where, "an address of 49 bits, a time of 63", found)
        if numbers[_ACCESS] not in _ACCESSES:
            raise TraceError("an access that is not known", where, "0 to 4", str(numbers[_ACCESS]))
        what, op = _ACCESSES[numbers[_ACCESS]]
        fault = numbers[_FAULT]
        self.kinds[what] += 1
        self.kinds[_FAULTS.get(fault, f"of type {fault}" if fault < 32 else "of other types")] += 1
        self.faults += 1
        self.batch += 1
        self.largest = max(self.largest, self.batch)
        self.instances += numbers[_INSTANCES]
        if len(self.channels) < _MOST_STREAMS:
            self.channels.add(numbers[_CHANNEL])
        # Only differences of times tell the step of the clock.
        if self.first >= 0:
            self.step = math.gcd(self.step, abs(t - self.first))
            self.back += t < self.previous
            self.first = min(self.first, t)
        else:
            self.first = t
        self.previous, self.latest = t, max(self.latest, t)
        stream = self._stream(numbers[_CLIENT_TYPE], numbers[_GPC], numbers[_UTLB])
        self.rows.append((t, self.number, op, stream, iova, 1))

    def _stream(self, kind: int, gpc: int, utlb: int) -> int:
        found = self.streams.get((kind, gpc, utlb))
        if found is None:
            found = min(len(self.streams), _MOST_STREAMS)
            if found < _MOST_STREAMS:
                self.streams[kind, gpc, utlb] = found
            hub = f", client type {kind}" if kind else ""
            self.draft.streams[found] = f"GPC {gpc}, uTLB {utlb}{hub}" if found < _MOST_STREAMS else _OTHERS
        return found

    def _destroy(self, text: str, where: str) -> None:
        match = _DESTROY.fullmatch(text)
        if match is None:
            raise TraceError("cannot read the range", where, "uvm range destroy ...: 0x..., BYTES", text[:80])
        iova, size = int(match[1], 16), int(match[2])
        if problem := table_problem(iova, size, 0, self.draft.granule):
            raise TraceError("a range that cannot have been mapped", where, *problem)
        if iova >> 48:
            self.draft.upper.add(0)
        self.destroyed += 1
        # The driver's clock is not the GPU's: it stands behind every fault that was logged before it.
        self.rows.append((self.latest, self.number, UNMAP, 0, iova, size))

    def flush(self) -> None:
        """Hand the rows on."""
        if self.rows:
            out = np.zeros(len(self.rows), ROW)
            whole = np.array(self.rows, np.uint64)
            for k, name in enumerate(("t", "rank", "op", "stream", "iova", "size")):
                out[name] = whole[:, k]
            self.ordered.add(out)
            self.rows.clear()

    def events(self, rows: np.ndarray) -> np.ndarray:
        """Return rows as events."""
        out = np.zeros(rows.size, EVENT)
        start = np.uint64(max(self.first, 0))
        out["t_ns"] = np.where(rows["t"] > start, rows["t"] - start, 0)
        for name in ("op", "stream", "iova", "size"):
            out[name] = rows[name]
        out["pa"][out["op"] <= EXEC] = PA_UNKNOWN
        return out

    def conclude(self) -> None:
        """Say in the manifest what was seen and left out."""
        draft = self.draft
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(self.kinds.items()))
        draft.clock += f"; its steps here are of {self.step:,} ns" if self.step else ""
        draft.notes += [
            f"Faults: {self.faults:,} ({kinds}), each an access of 1 byte at its page; the driver counted "
            f"{self.instances:,} faults in them. {len(self.channels):,} channels.",
            f"Order: by the GPU's time, equal times as logged. The driver logs {self.batches:,} batches (of "
            f"{self.largest:,} faults at most) sorted by address: {self.back:,} faults were earlier than "
            "the one above.",
        ]
        if self.destroyed:
            draft.notes.append(
                f"UNMAPs: {self.destroyed:,} ranges that the driver destroyed, behind every fault logged "
                "before; their time on the GPU's clock is not known."
            )
        if self.passed:
            draft.notes.append(f"Passed over: {self.passed:,} other lines.")
        if self.gaps:
            draft.notes.append(
                f"Records: at {self.gaps:,} places the kernel's numbers skip: there the log was filtered, or "
                "the kernel's buffer overflowed."
            )
