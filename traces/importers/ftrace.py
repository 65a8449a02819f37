"""Imports a kernel's trace as text: ftrace, trace-cmd report, perf script.

``iommu:map`` and ``iommu:unmap`` become MAP and UNMAP, whatever their layout; so do the kprobes that
`traces.qemu.capture` sets. Interrupts, work, fences and GPU drivers' events become MARKs, and the
times between their pairs are in the manifest's notes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from traces.errors import TraceError
from traces.events import EVENT, MAP, MARK, PA_UNKNOWN, PROT_READ, PROT_WRITE, READ, UNMAP, WRITE
from traces.importers.intervals import Intervals, is_timed, label_of
from traces.importers.result import Draft, Options, as_granule, table_problem
from traces.importers.source import Source
from traces.importers.stamps import Stamped, is_ignored, lost, parse_line
from traces.qemu.guest_log import covered, prot_of

WHAT = "ftrace, trace-cmd report or perf script text with iommu events"
OPTIONS: frozenset[str] = frozenset({"real_clock", "granule"})

#: Events that are taken together.
_BLOCK = 1 << 15
#: Names of events without meaning here, and of devices, that are listed.
_MOST_NAMES = 64
#: Mappings that are remembered, to count those that meet again.
_MOST_LIVE = 1 << 20
#: Most bytes of a mark's text.
_MARK_TEXT = 200

_SNIFF = re.compile(
    rb"(?m)^# tracer: |^cpus=[0-9]+$"
    rb"|^[ \t]{0,40}\S.{0,60}\[[0-9]{3,4}\] .{0,20}[0-9]\.[0-9]{6,9}:[ \t]{1,9}[a-z0-9_:]{1,80}:[ \t]"
    rb"|^[ \t]{0,40}(?:iommu:)?(?:un)?map:[ \t]+IOMMU: "
)
_HEX = r"0x([0-9a-f]{1,16})\b"
_RANGE = re.compile(rf"IOMMU:\s{{1,4}}(?:dev=(?P<dev>\S{{1,64}})\s)?iova={_HEX}(?:\s-\s{_HEX})?\s")
_PA = re.compile(rf"\bpaddr={_HEX}")
_SIZE = re.compile(r"\bsize=(0x[0-9a-f]{1,16}|[0-9]{1,20})\b")
_UNMAPPED = re.compile(r"\bunmapped_size=(0x[0-9a-f]{1,16}|[0-9]{1,20})\b")
_FAULT = re.compile(rf"IOMMU:\s?\S{{0,64}} (?P<dev>\S{{1,64}}) iova={_HEX} flags=0x([0-9a-f]{{1,8}})\b")
_PROBE = re.compile(r"\b(ops|iova|pa|pgsize|pgcount|prot)=0x([0-9a-f]{1,16})\b")
_DEVICE = re.compile(r"device=(\S{1,64})")
#: Granule -> bytes of a table's entries.
_SIZES = {1 << 12: (1 << 12, 1 << 21, 1 << 30), 1 << 14: (1 << 14, 1 << 25), 1 << 16: (1 << 16, 1 << 29)}
_TEXTS = ("tracing_mark_write", "print", "bprint")


def sniff(head: bytes, name: str) -> bool:
    """Tell whether a file begins like a kernel's trace."""
    return _SNIFF.search(head) is not None


def draft(source: Source) -> Draft:
    """Return the manifest's beginnings."""
    return Draft(
        title=f"Mappings of a kernel's trace, from {source.path.name.encode(errors='replace').decode()}",
        kind="captured",
        source="a kernel trace that somebody recorded; the file does not say who, or on what machine",
        device="not in the file",
        tool="Linux ftrace",
        clock="the kernel's trace clock; the file does not say whether the machine was a real one",
        direction="No accesses but those that io_page_fault reports: bit 0 of its flags is a write.",
        not_contained=[
            "Accesses: a kernel's trace has none, but those that faulted and were reported.",
            "TLB invalidations: each UNMAP stands for its own.",
        ],
    )


def read(source: Source, draft: Draft, options: Options) -> Iterator[np.ndarray]:
    """Yield the trace's events."""
    if options.real_clock:
        draft.clock, draft.clock_is_real = "the kernel's trace clock, of a real machine (says the user)", True
    draft.granule = as_granule(options.granule)
    importer = _Importer(source, draft)
    for number, line in source.log_lines():
        try:
            importer.line(number, line)
        except TraceError as error:
            source.dropped.refuse(error.what, error.where, error.expected, error.found)
        if len(importer.events) >= _BLOCK:
            yield np.array(importer.events, EVENT)
            importer.events.clear()
    if importer.events:
        yield np.array(importer.events, EVENT)
    importer.conclude()


class _Importer:
    """Makes events of lines."""

    def __init__(self, source: Source, draft: Draft) -> None:
        self.source = source
        self.draft = draft
        self.events: list[tuple[int, ...]] = []
        self.intervals = Intervals()
        self.seen: Counter[str] = Counter()
        self.other: Counter[str] = Counter()
        self.devices: dict[str, int] = {}
        self.start = self.now = -1
        self.unstamped = self.nothing_unmapped = self.faults = self.passed = 0
        self.rights_assumed = self.over = 0
        self.live: set[tuple[int, int]] = set()

    def line(self, number: int, line: str) -> None:
        """Read a line."""
        where = self.source.line(number)
        if missing := lost(line):
            raise TraceError("the trace lost events", where, "every event", missing)
        event = None if line.startswith("#") else parse_line(line)
        if event is None:
            if not is_ignored(line) or "\ufffd" in line:
                raise TraceError(
                    "cannot read the line", where, "an event of ftrace, trace-cmd or perf", line[:80]
                )
            self.passed += 1
            return
        t_ns = self._time(event, where)
        name, rest = event.event, event.rest
        if name in ("map", "unmap") and "IOMMU:" in rest:
            self._tracepoint(event, t_ns, where)
        elif name in ("map", "unmap") and "pgsize=" in rest:
            self._probe(event, t_ns, where)
        elif name == "io_page_fault":
            self._fault(event, t_ns, where)
        elif name in ("map", "unmap"):
            raise TraceError(f"cannot read {name}", where, "IOMMU: iova=0x... size=...", rest[:80])
        elif name in ("attach_device_to_domain", "detach_device_from_domain", "add_device_to_group"):
            self.seen[name] += 1
            if match := _DEVICE.search(rest):
                self._device(match[1])
        elif name in _TEXTS:
            self.seen[name] += 1
            self._mark(rest.strip()[:_MARK_TEXT] or "(an empty mark)", t_ns)
        elif is_timed(name):
            self.seen[name] += 1
            self._mark(label_of(name, rest, event.cpu, event.pid), t_ns)
            self.intervals.add(name, rest, t_ns, event.cpu, event.pid)
        elif len(self.other) < _MOST_NAMES or name in self.other:
            self.other[name] += 1
        else:
            self.other["others"] += 1

    def _time(self, event: Stamped, where: str) -> int:
        if event.t_ns < 0:
            self.unstamped += 1
            self.now = max(self.now, 0)
        elif event.t_ns < self.now:
            found = f"{event.t_ns} ns"
            raise TraceError("time runs backwards", where, f"{self.now} ns or later", found)
        else:
            self.now = event.t_ns
        if self.start < 0:
            self.start = self.now
        return self.now - self.start

    def _mark(self, label: str, t_ns: int) -> None:
        self.events.append((t_ns, MARK, 0, 0, self.draft.mark(label), 0, 0, 0))

    def _device(self, name: str) -> int:
        number = self.devices.get(name)
        if number is None:
            if len(self.devices) >= _MOST_NAMES:
                return _MOST_NAMES
            number = self.devices[name] = len(self.devices)
        return number

    def _space(self, dev: str | None) -> int:
        if dev is None:
            return self.draft.space("all", "every domain of the machine: the event does not tell them apart")
        return self.draft.space(("dev", dev), f"the domain of {dev[:64]}")

    def _add(self, op: int, t_ns: int, space: int, where: str, what: tuple[int, int, int, int]) -> None:
        iova, size, pa, prot = what
        if problem := table_problem(iova, size, pa, self.draft.granule):
            name = "map" if op == MAP else "unmap"
            raise TraceError(f"a range that no {name} can have", where, *problem)
        if iova >> 48:
            self.draft.upper.add(space)
        self.events.append((t_ns, op, 0, space, iova, size, pa, prot))
        if op == UNMAP:
            self.live.discard((space, iova))
        elif (space, iova) in self.live:
            self.over += 1
        elif len(self.live) < _MOST_LIVE:
            self.live.add((space, iova))

    def _tracepoint(self, event: Stamped, t_ns: int, where: str) -> None:
        name, rest = event.event, event.rest
        match, size = _RANGE.search(rest), _SIZE.search(rest)
        pa = _PA.search(rest) if name == "map" else None
        if match is None or size is None or (name == "map" and pa is None):
            expected = (
                "IOMMU: iova=0x... size=..." if name == "unmap" else "IOMMU: iova=0x... paddr=0x... size=..."
            )
            raise TraceError(f"cannot read {name}", where, expected, rest[:80])
        iova, bytes_ = int(match[2], 16), int(size[1], 0)
        if match[3] is not None and int(match[3], 16) != iova + bytes_:
            expected = f"an end at {iova + bytes_:#x}"
            raise TraceError("a range that is not as long as its size", where, expected, f"0x{match[3]}")
        self.seen[name] += 1
        space = self._space(match["dev"])
        if name == "map":
            self.rights_assumed += 1
            self._add(
                MAP, t_ns, space, where, (iova, bytes_, int(pa[1], 16) if pa else 0, PROT_READ | PROT_WRITE)
            )
            return
        unmapped = _UNMAPPED.search(rest)
        if unmapped is not None:
            bytes_ = int(unmapped[1], 0)
        if bytes_ == 0:
            self.nothing_unmapped += 1
            return
        self._add(UNMAP, t_ns, space, where, (iova, bytes_, 0, 0))

    def _probe(self, event: Stamped, t_ns: int, where: str) -> None:
        fields = {name: int(value, 16) for name, value in _PROBE.findall(event.rest)}
        needed = {"ops", "iova", "pgsize", "pgcount"} | ({"pa", "prot"} if event.event == "map" else set())
        if needed - set(fields) or fields["pgsize"] not in _SIZES[self.draft.granule]:
            expected = f"its kprobe's fields, with a pgsize of a granule of {self.draft.granule >> 10} KiB"
            raise TraceError(f"cannot read {event.event}", where, expected, event.rest[:80])
        self.seen[event.event] += 1
        iova, leaf = fields["iova"], fields["pgsize"]
        size = covered(iova, leaf, fields["pgcount"], self.draft.granule // 8)
        space = self.draft.space(("ops", fields["ops"]), f"io_pgtable_ops {fields['ops']:#x}")
        if event.event == "map":
            what = (iova, size, fields["pa"], prot_of(fields["prot"]))
            self._add(MAP, t_ns, space, where, what)
        else:
            self._add(UNMAP, t_ns, space, where, (iova, size, 0, 0))

    def _fault(self, event: Stamped, t_ns: int, where: str) -> None:
        match = _FAULT.search(event.rest)
        if match is None:
            raise TraceError("cannot read io_page_fault", where, "IOMMU:DRIVER DEVICE iova=0x... flags=0x...",
                             event.rest[:80])  # fmt: skip
        self.seen["io_page_fault"] += 1
        self.faults += 1
        stream = self._device(match["dev"])
        self.draft.streams.setdefault(
            stream, match["dev"][:64] if stream < _MOST_NAMES else "further devices"
        )
        op = WRITE if int(match[3], 16) & 1 else READ
        # A domain by device is told by map and unmap alone; where they do not, there is one space.
        known = self.draft.spaces
        space = self._space(match["dev"] if known and "every domain" not in known[0] else None)
        self.events.append((t_ns, op, stream, space, int(match[2], 16), 1, int(PA_UNKNOWN), 0))

    def conclude(self) -> None:
        """Say in the manifest what was seen, assumed and left out."""
        draft, counted = self.draft, ", ".join(f"{n:,} {name}" for name, n in sorted(self.seen.items()))
        draft.notes.append(f"Events: {counted or 'none'}.")
        if self.rights_assumed:
            draft.notes.append(
                f"Rights: {self.rights_assumed:,} MAPs are readable and writable: the event does not tell."
            )
        if self.over:
            draft.notes.append(
                f"Domains: {self.over:,} MAPs begin where a MAP of the same space had begun and no UNMAP "
                "had. Two domains share the space then, or an UNMAP covers several MAPs."
            )
        if self.faults:
            draft.notes.append(
                f"Faults: {self.faults:,} accesses are what io_page_fault reported, 1 byte each: no length "
                "is told. A driver may report at a limited rate."
            )
        if self.devices:
            draft.device = "; ".join(name[:64] for name in self.devices)
        if self.nothing_unmapped:
            draft.notes.append(f"Left out: {self.nothing_unmapped:,} unmaps that unmapped nothing.")
        if self.other:
            listed = ", ".join(f"{n:,} {name}" for name, n in sorted(self.other.items()))
            draft.notes.append(f"Left out, as they say nothing of mappings or times: {listed}.")
        if self.passed:
            draft.notes.append(
                f"Passed over: {self.passed:,} comments, call chains and function-graph lines."
            )
        if self.unstamped:
            draft.clock += f"; {self.unstamped:,} events have no time, and that of the event before"
        if lines := self.intervals.lines():
            draft.notes += [
                "Marks name interrupts, work, fences and commands without pointers and running numbers; the "
                f"times between their pairs follow ({self.intervals.unpaired():,} have no other half).",
                *lines,
            ]
