"""Imports the faults of a kernel log: each that has an address is an access that faulted.

Every layout of `traces.kernel_log` is read.  What the log tells besides (faults without an address, what a
ratelimit kept back, lines that were turned off) becomes MARKs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from traces.errors import TraceError
from traces.events import EVENT, EXEC, MARK, PA_UNKNOWN, PROT_PRIV, READ, WRITE
from traces.importers.result import Draft, Options
from traces.importers.source import Source
from traces.kernel_log import Fault, Note, Suppressed, scan_parts
from traces.kernel_log.event import decode
from traces.kernel_log.forms import BY_PHRASE

WHAT = "a kernel log with SMMU or GPU faults"
OPTIONS: frozenset[str] = frozenset({"real_clock"})

_MOST_NAMES = 32
_MARK_TEXT = 200
#: WNR, PNU and IND of a context bank's FSYNR0.
_WNR, _PNU, _IND = 1 << 4, 1 << 5, 1 << 6

#: A fault's first words, but for those that others use too (a devcoredump has `fault-info:`).
_PHRASES = re.compile(
    "|".join(
        re.escape(phrase) for phrase, forms in BY_PHRASE.items() if not any(form.driver for form in forms)
    ).encode()
)
_LOG = re.compile(
    rb"(?m)\A\s{0,80}(?:<[0-9]{1,3}>)?\[ {0,8}[0-9]{1,8}\.[0-9]{6}\] "
    rb"|^\S.{4,60} kernel(?:\[[0-9]{1,7}\])?: |\A.{0,80}Booting Linux "
)
_NOT = re.compile(rb"(?m)^# tracer: |^cpus=[0-9]+$|^(?:[0-9]+@[0-9.]+:)?smmuv3?_[a-z0-9_]+ ")


def sniff(head: bytes, name: str) -> bool:
    """Tell whether a file begins like a kernel's log."""
    if name.endswith((".csv", ".tsv")) or _NOT.search(head) is not None:
        return False
    return _LOG.search(head) is not None or _PHRASES.search(head) is not None


def draft(source: Source) -> Draft:
    """Return the manifest's beginnings."""
    return Draft(
        title=f"Faults of a kernel log, from {source.path.name.encode(errors='replace').decode()}",
        kind="captured",
        source="a kernel log that somebody recorded; the file does not say who, or on what machine",
        device="not in the file",
        tool="Linux's fault handlers",
        clock="when each line was printed, on the log's clock, from the first fault; the file does not say "
        "whether the machine was a real one",
        direction="As the line says or FSYNR0.WNR, or a read.",
        not_contained=[
            "Faults that were not printed: a ratelimit lets 10 prints through in 5 s, MULTI tells no number. "
            "Their count is a floor.",
            "Accesses that did not fault.",
            "MAPs and UNMAPs: as it is every access faults; with --scenario demand a pager maps pages.",
            "When a fault happened: a print is later, by an interrupt or by a thread's wake.",
            "Lengths, and whether a fault stalled.",
        ],
    )


def read(source: Source, draft: Draft, options: Options) -> Iterator[np.ndarray]:
    """Yield the log's faults."""
    if options.real_clock:
        draft.clock_is_real = True
        draft.clock = draft.clock.partition(";")[0] + ", of a real machine (says the user)"
    importer = _Importer(draft)
    for part in scan_parts(source.cut_lines()):
        for bad in part.malformed:
            source.dropped.refuse(bad.what, source.line(bad.line), bad.expected, bad.found)
        events: list[tuple[int, ...]] = []
        told: list[tuple[int, Fault | Note | Suppressed]] = [(f.lines[0], f) for f in part.faults]
        told += [(note.line, note) for note in part.notes]
        told += [(held.line, held) for held in part.suppressed]
        for line, one in sorted(told, key=lambda pair: pair[0]):
            try:
                events.append(importer.event(one, source.line(line)))
            except TraceError as error:
                source.dropped.refuse(error.what, error.where, error.expected, error.found)
        if events:
            yield np.array(events, EVENT)
    if not importer.accesses:
        found = f"{importer.marks} without an address" if importer.marks else "none"
        raise TraceError(
            "no fault with an address in the log", source.path, "Unhandled context fault ...", found
        )
    importer.conclude()


class _Importer:
    """Makes events of faults."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.now = 0
        self.offset: int | None = None
        self.era: tuple[str, int] | None = None
        self.accesses = self.marks = self.eras = 0
        self.counts: Counter[str] = Counter()
        self.layouts: Counter[str] = Counter()
        self.devices: dict[str, None] = {}
        self.taken: dict[int, str] = {}
        self.given: dict[tuple[str, str], int] = {}
        self.suppressed = 0
        self.first = ""

    def event(self, one: Fault | Note | Suppressed, where: str) -> tuple[int, ...]:
        """Return what a line tells as an event."""
        if not isinstance(one, Fault):
            t_ns = self._time(one.time_ns, None, one.boot)
            if isinstance(one, Suppressed):
                self.suppressed += one.count
                return self._mark(t_ns, f"{one.count} callbacks suppressed in {one.function}")
            return self._mark(t_ns, f"{one.kind} {one.device}: {one.text}".replace(" : ", ": "))
        t_ns = self._time(one.time_ns, one.clock, one.boot)
        self.first = self.first or f"line {one.lines[0]}{f', {one.stamp}' if one.stamp else ''}"
        self.layouts[one.layout] += 1
        if len(self.devices) < _MOST_NAMES and one.device:
            self.devices[one.device] = None
        if one.iova is None:
            self.counts["without"] += 1
            stream = "" if one.sid is None else f", stream {one.sid:#x}"
            return self._mark(t_ns, f"{one.layout} {one.device}{stream}: a fault without an address")
        self.accesses += 1
        op, prot = self._access(one)
        stream_id = self._stream(one)
        return (t_ns, op, stream_id, self._space(one), one.iova, 1, int(PA_UNKNOWN), prot)

    def _mark(self, t_ns: int, label: str) -> tuple[int, ...]:
        self.marks += 1
        text = label[:_MARK_TEXT].encode(errors="replace").decode()
        return (t_ns, MARK, 0, 0, self.draft.mark(text), 0, 0, 0)

    def _time(self, time_ns: int | None, clock: str | None, boot: int) -> int:
        """Return a time from the first fault's on; what has none, or another clock, goes on from the last."""
        if time_ns is None:
            self.counts["unstamped"] += clock is not None
            return self.now
        if clock is None:
            # A line that is no fault, of the clock that the faults have, or none is known yet.
            if self.era is None or self.era[1] != boot or self.offset is None:
                return self.now
        elif (clock, boot) != self.era:
            self.eras += self.era is not None
            self.era, self.offset = (clock, boot), self.now - time_ns
        assert self.offset is not None
        at = time_ns + self.offset
        self.counts["late"] += at < self.now
        self.now = max(self.now, at)
        if self.now >= 1 << 63:
            self.now = (1 << 63) - 1
        return self.now

    def _access(self, fault: Fault) -> tuple[int, int]:
        write, fetch, privileged = fault.write, False, False
        if fault.kind == "event" and len(fault.words) == 4:
            found = decode(fault.words)
            write = write if found.read is None else not found.read
            fetch, privileged = bool(found.instruction), bool(found.privileged)
        elif fault.kind == "context" and fault.fsynr0 is not None:
            write = bool(fault.fsynr0 & _WNR)
            fetch, privileged = bool(fault.fsynr0 & _IND), bool(fault.fsynr0 & _PNU)
        self.counts["directionless"] += write is None
        op = WRITE if write else EXEC if fetch else READ
        return op, PROT_PRIV if privileged else 0

    def _space(self, fault: Fault) -> int:
        device = fault.device or "a device that is not named"
        if fault.cb is not None:
            return self.draft.space((fault.device, "cb", fault.cb), f"context bank {fault.cb} of {device}")
        if fault.ttbr0 is not None:
            return self.draft.space(
                (fault.device, "ttbr0", fault.ttbr0), f"TTBR0 {fault.ttbr0:#x} of {device}"
            )
        return self.draft.space((fault.device, "", 0), f"the domain of {device}")

    def _stream(self, fault: Fault) -> int:
        """Return the stream ID: as told, or a number from 65535 down where it is not, or is another's."""
        device = fault.device or "a device that is not named"
        key = (fault.device, "" if fault.sid is None else f"{fault.sid:#x}")
        found = self.given.get(key)
        if found is not None:
            return found
        self.counts["sidless"] += fault.sid is None
        found = fault.sid
        if found is None or found > 0xFFFF or found in self.taken:
            found = next((n for n in range(0xFFFF, 0x8000, -1) if n not in self.taken), None)
            if found is None:
                raise TraceError("too many streams", device, "fewer devices and stream IDs")
        self.taken[found] = fault.device
        self.given[key] = found
        told = f"SID {fault.sid:#x}" if fault.sid is not None else "SID not told"
        self.draft.streams[found] = f"{told}, {device}"
        return found

    def conclude(self) -> None:
        """Say in the manifest what was seen, assumed and left out."""
        draft, n = self.draft, self.counts
        layouts = ", ".join(f"{count:,} {layout}" for layout, count in sorted(self.layouts.items()))
        draft.device = "; ".join(self.devices) or draft.device
        draft.notes += [
            f"Faults: {self.accesses:,} with an address, each an access of 1 byte; the first is "
            f"{self.first}. Layouts (docs/fault-logs.md): {layouts}.",
            f"Streams: as the SMMU recorded them, which is advice. {n['sidless']:,} devices tell none: "
            "those, and IDs that two SMMUs have, are numbered from 65535 down. Spaces: one for each context "
            "bank, or TTBR0 where that is told, or device.",
        ]
        if n["without"]:
            draft.notes.append(f"Marks: {n['without']:,} faults do not tell their address, and are MARKs.")
        if self.suppressed:
            draft.notes.append(f"Suppressed: {self.suppressed:,} prints more, as the log says (MARKs).")
        if n["directionless"]:
            draft.notes.append(
                f"Direction: {n['directionless']:,} faults do not tell theirs, and are reads here."
            )
        if n["unstamped"]:
            draft.notes.append(
                f"Times: {n['unstamped']:,} faults have none, and are at that of the one before."
            )
        if n["late"]:
            draft.notes.append(
                f"Times: {n['late']:,} lines were stamped before the one above, and have its time."
            )
        if self.eras:
            draft.notes.append(
                f"Times: the log's clock starts again, or is another, at {self.eras:,} places; each goes on "
                "from the last fault before, as the time between is not known."
            )
