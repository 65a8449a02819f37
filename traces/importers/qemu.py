"""Imports QEMU's SMMUv3 trace log: accesses, faults and invalidations; mappings are inferred."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from traces.errors import TraceError
from traces.events import EVENT, PA_UNKNOWN, PROT_READ, PROT_WRITE, TLBI, TLBI_ALL, TLBI_ASID
from traces.importers.pages import Change, Pages
from traces.importers.result import Draft, Options
from traces.importers.source import Source
from traces.qemu.describe import UNKNOWN_SIZE, Describer
from traces.qemu.qemu_log import ACCESS, FAULT, INVALIDATE, QemuLog, stream_qemu_log
from traces.qemu.tables import Leaf

WHAT = "QEMU's SMMUv3 trace log"
OPTIONS: frozenset[str] = frozenset()

_SNIFF = re.compile(rb"(?m)^(?:[0-9]+@[0-9]+\.[0-9]{6}:)?(?:smmuv3?_[a-z0-9_]+ )")


def sniff(head: bytes, name: str) -> bool:
    """Tell whether a file begins like a QEMU log with SMMU events."""
    return _SNIFF.search(head) is not None


def draft(source: Source) -> Draft:
    """Return the manifest's beginnings."""
    return Draft(
        title=f"QEMU's SMMUv3, from {source.path.name.encode(errors='replace').decode()}",
        kind="derived",
        source="a QEMU trace log that somebody recorded; the file does not say who",
        device="devices behind QEMU's emulated SMMUv3, told apart by stream ID",
        tool="QEMU",
        clock="host wall clock of the emulator, microseconds; a row stamped before the one above it, by "
        "another thread, has that one's time",
        invalidation="explicit",
        direction="As QEMU logs it for NVMe data and refused accesses; others are reads, or writes where "
        "their page is write-only.",
        not_contained=[
            "Durations: times are an emulator's, on its host's clock; order and content are real, rates not.",
            "The driver's own MAP and UNMAP: those here are inferred (see notes).",
            "Mappings that no access used.",
            "Stalled faults: QEMU's SMMUv3 cannot stall; it terminates every access that faults.",
        ],
    )


def read(source: Source, draft: Draft, options: Options) -> Iterator[np.ndarray]:
    """Yield the log's events."""

    def refuse(error: TraceError) -> None:
        source.dropped.refuse(error.what, error.where, error.expected, error.found)

    log, blocks = stream_qemu_log((line for _, line in source.log_lines()), source.path, refuse)
    converter = _Converter(draft)
    for block in blocks:
        events = converter.convert(block)
        if events:
            yield np.array(events, EVENT)
    if not converter.accesses:
        raise TraceError("no access in the log", source.path, "smmuv3_translate_success events")
    converter.conclude(log)


class _Converter:
    """Makes events of rows, and mappings of translations."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.pages = Pages()
        self.describer = Describer([])
        self.start = -1
        self.accesses = 0
        self.beyond = 0
        self.odd_faults = 0

    def convert(self, block: np.ndarray) -> list[tuple[int, ...]]:
        """Return the events of some rows."""
        events: list[tuple[int, ...]] = []
        for row in block.tolist():
            if self.start < 0:
                self.start = row[0]
            if row[1] == INVALIDATE:
                self._invalidation(events, *row)
            else:
                self._access(events, *row)
        return events

    def _invalidation(
        self, events: list[tuple[int, ...]], t_us: int, _kind: int, detail: int, _writes: int, _stream: int,
        asid: int, iova: int, size: int, *_: int,
    ) -> None:  # fmt: skip
        t_ns = (t_us - self.start) * 1000
        if detail in (TLBI_ALL, TLBI_ASID):
            if detail == TLBI_ALL:
                space = 0
            else:
                space = self.draft.space(asid, f"ASID {asid}", asid)
            events.append((t_ns, TLBI, 0, space, 0, 0, 0, detail))
            return
        begin, end = iova & -4096, -(-(iova + size) // 4096) * 4096
        if end > 1 << 48 or size == 0:
            self.beyond += 1
            return
        space = self.draft.space(asid, f"ASID {asid}", asid)
        self._change(events, t_ns, self.pages.invalidate(space, begin, end - begin))
        events.append((t_ns, TLBI, 0, space, begin, end - begin, 0, detail))

    def _access(
        self, events: list[tuple[int, ...]], t_us: int, kind: int, detail: int, writes: int, stream: int,
        asid: int, iova: int, size: int, pa: int, rights: int, leaf: int,
    ) -> None:  # fmt: skip
        t_ns = (t_us - self.start) * 1000
        if (iova | pa) >> 48:
            self.beyond += 1
            return
        if asid < 0:
            # A log without lookups does not tell ASIDs.
            space = self.draft.space(("stream", stream), f"stream {stream:#x}")
        else:
            space = self.draft.space(asid, f"ASID {asid}", asid)
        self.accesses += 1
        if kind == ACCESS:
            prot = (PROT_READ if rights & 1 else 0) | (PROT_WRITE if rights & 2 else 0)
            self._change(events, t_ns, self.pages.access(space, iova, pa, prot, leaf))
            op, size = self.describer.describe(
                iova, detail, writes, size, Leaf(space, iova, pa, leaf, prot, made=0)
            )
        else:
            found = self.pages.find(space, iova)
            if kind == FAULT and found is not None:
                self._change(events, t_ns, self.pages.invalidate(space, iova & -4096, 4096))
            elif kind != FAULT and found is None:
                self.odd_faults += 1
            pa = int(PA_UNKNOWN)
            op, size = self.describer.describe(iova, detail, writes, size, None)
        events.append((t_ns, op, stream, space, iova, size, pa, 0))

    @staticmethod
    def _change(events: list[tuple[int, ...]], t_ns: int, changes: list[Change]) -> None:
        events += [(t_ns, op, 0, *rest) for op, *rest in changes]

    def conclude(self, log: QemuLog) -> None:
        """Say in the manifest what was inferred, guessed and left out."""
        sizes = ", ".join(f"{n:,} of {size >> 10} KiB" for size, n in sorted(self.pages.leaves.items()))
        guessed = self.describer.guessed
        self.draft.notes += [
            "MAP and UNMAP are inferred: an entry is mapped just before the first translation that needs it, "
            "with the rights that QEMU logged, and unmapped at the invalidation of its address or at a fault "
            f"there ({sizes}; {self.pages.replaced:,} replaced without either). An entry's size is known "
            "where its walk is logged (smmu_iotlb_insert), and 4 KiB where not.",
            f"Sizes: {guessed['size']:,} accesses whose length QEMU does not log have {UNKNOWN_SIZE} bytes, "
            f"or those to their page's end; {guessed['direction']:,} of them could be reads or writes.",
            f"Faults: {log.pieces_folded:,} records were further pieces of an access that QEMU had cut into "
            f"words, and are folded into it; {self.odd_faults:,} permission faults are on pages whose entry "
            "is not known, and show here as pages without one.",
            f"Left out: {log.bypassed:,} bypassing and {log.aborted:,} aborted accesses, {self.beyond:,} "
            f"addresses beyond 48 bits, {log.messages:,} messages of QEMU's own, and "
            f"{sum(log.ignored.values()):,} events that say nothing of translations.",
            f"Order: {log.out_of_order:,} rows were stamped before the row above; they keep their place.",
        ]
        if log.unstamped:
            self.draft.clock = (
                f"none: {log.unstamped:,} events have no time, and are 1 us after the one before"
            )
