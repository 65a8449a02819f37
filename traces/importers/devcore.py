"""Imports a devcoredump of drm/msm: buffers as mappings, the ring's rest as fetches, and the fault."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from traces.adreno.accesses import FETCHED, SWEEP, Accesses
from traces.adreno.buffers import Buffers
from traces.adreno.contents import Contents
from traces.adreno.describe import describe
from traces.adreno.dump import Dump, Fault, Part
from traces.adreno.dump_text import parse
from traces.adreno.pagewalk import say, walk
from traces.adreno.pm4 import generation, split_new, split_old
from traces.adreno.walk import as_view, as_words
from traces.importers.result import Draft, Options
from traces.importers.source import Source

WHAT = "a drm/msm devcoredump"
OPTIONS: frozenset[str] = frozenset({"accesses"})

#: Dwords before rptr in which the packet is sought that rptr stands in.
_BACK = 256
_KERNEL = re.compile(rb"(?m)^kernel: ")
_SECTION = re.compile(rb"(?m)^(?:module: msm|revision: [0-9]+ \([0-9.]+\)|ringbuffer:)\r?$")


def sniff(head: bytes, name: str) -> bool:
    """Tell whether a file begins like such a dump."""
    return _KERNEL.search(head, 0, 4096) is not None and _SECTION.search(head) is not None


def draft(source: Source) -> Draft:
    """Return the manifest's beginnings."""
    return Draft(
        title=f"an Adreno's dump, from {source.path.name.encode(errors='replace').decode()}",
        kind="derived",
        source="a devcoredump of Linux's drm/msm that somebody saved; the file does not say who",
        device="an Adreno GPU",
        tool="Linux devcoredump",
        clock="none",
        direction="none",
    )


def read(source: Source, draft: Draft, options: Options) -> Iterator[np.ndarray]:
    """Yield the dump's events: it is a snapshot, so none comes before the file's end."""
    with Contents() as contents:
        dump = parse(source, contents)
        importer = _Importer(source, draft, contents, dump, options.accesses or FETCHED)
        yield from importer.run()


class _Importer:
    """Makes events of a dump."""

    def __init__(self, source: Source, draft: Draft, contents: Contents, dump: Dump, mode: str) -> None:
        self.source, self.draft, self.contents, self.dump, self.mode = source, draft, contents, dump, mode
        self.made = Accesses(draft, contents, mode, self._refuse, lenient=True)
        self.generation = generation(dump.gpu_id, dump.chip_id)

    def _refuse(self, what: str, iova: int, expected: str, found: str) -> None:
        where = f"{self.source.path}: command stream at {iova:#x}"
        self.source.dropped.refuse(what, where, expected, found)

    def run(self) -> Iterator[np.ndarray]:
        """Yield everything."""
        dump, made = self.dump, self.made
        space = self.draft.space(
            "gpu", "the GPU's tables: the process in TTBR0's half, the kernel in TTBR1's"
        )
        buffers = Buffers()
        made.enter(space, buffers)
        made.list_only([(part["iova"], part["iova"] + part["size"]) for part in (*dump.bos, *dump.rings)])
        made.walker.allow(dump.decoded)
        made.walker.generation = self.generation
        if self.mode == SWEEP:
            yield from made.sweep()
        else:
            for ring in dump.rings:
                yield from self._ring(ring)
        if dump.fault is not None:
            self._fault(dump.fault, buffers)
        yield from made.rest()
        self._conclude()

    def _ring(self, ring: Part) -> Iterator[np.ndarray]:
        dwords = ring["size"] // 4
        if ring["rptr"] == ring["wptr"] or not ring.captured:
            return
        if not self.generation:
            found = f"revision {self.dump.gpu_id}, chip {self.dump.chip_id:#x}"
            self._refuse("a ring of an unknown GPU", ring["iova"], "a revision: line", found)
            return
        data = self.contents.read(ring["iova"], ring["size"])
        if data is None:
            return
        words = as_words(data)
        begin = self._packet_at(words, ring["rptr"], ring["wptr"])
        length = (ring["wptr"] - begin) % dwords
        part = as_view(np.roll(np.asarray(words), -begin)[:length].copy())
        self.made.mark(f"ring {ring['id']}: dwords {begin} to {ring['wptr']} (rptr {ring['rptr']})")
        yield from self.made.walker.ring(ring["iova"] + 4 * begin, part, (ring["iova"], ring["size"]))

    def _packet_at(self, words: memoryview, rptr: int, wptr: int) -> int:
        """Return where the packet begins that rptr stands in: it need not be a packet's first dword."""
        split = split_old if self.generation < 5 else split_new
        n = len(words)
        left = (wptr - rptr) % n
        most = min(n - 1, left + _BACK)
        # Whether packets, one behind the other, lead from so many dwords before wptr to it.
        leads = bytearray(most + 1)
        leads[0] = 1
        for before in range(1, most + 1):
            found = split(words[(wptr - before) % n])
            if found is not None and found[1] < before:
                leads[before] = leads[before - 1 - found[1]]
        begin = leads.find(1, left)
        return rptr if begin < 0 else (wptr - begin) % n

    def _fault(self, fault: Fault, buffers: Buffers) -> None:
        made = self.made
        made.mark(f"fault: {fault.type} {fault.direction} at {fault.iova:#x} by {fault.source}")
        access = made.out.write if fault.direction == "WRITE" else made.out.read
        access(fault.iova, 1)
        held = (
            "A buffer that the dump lists holds it, so a replay maps it and it does not fault there."
            if buffers.holds(fault.iova)
            else "No buffer that the dump lists holds it: it faults in a replay too."
        )
        self.draft.notes.append(
            f"Fault (fault-info): {fault.type}, {fault.direction} at {fault.iova:#x}, by {fault.source}, "
            f"TTBR0 {fault.ttbr0:#x}. Here it is the last access, of 1 byte (no length is told); the file "
            f"does not say which packet caused it. {held}"
        )
        if fault.ptes:
            agree = "as in the fault" if fault.walked_ttbr0 == fault.ttbr0 else "not the fault's"
            self.draft.notes.append(
                "Page tables as the kernel walked them afterwards (pgtable-fault-info): TTBR0 "
                f"{fault.walked_ttbr0:#x} ({agree}), ASID {fault.asid}; {say(walk(fault.iova, fault.ptes))}."
            )

    def _conclude(self) -> None:
        draft, dump = self.draft, self.dump
        name = f"Adreno {dump.gpu_id}" if dump.gpu_id else f"an Adreno of chip {dump.chip_id:#x}"
        draft.device = f"{name}, as its command processor sees memory"
        draft.streams[0] = "the GPU (its stream ID is not in the file)"
        draft.kernel, draft.recorded = dump.header.get("kernel"), dump.date()
        captured = sum(part.captured for part in dump.bos)
        about = ", ".join(f"{key} {dump.header[key]}" for key in ("comm", "cmdline") if dump.header.get(key))
        notes = [
            f"Dump: {about or 'of nobody named'}; {len(dump.bos):,} buffers, {captured:,} of them with "
            f"contents; {len(dump.rings):,} rings.",
            *(
                f"Ring {ring['id']}: {ring['size']:,} bytes at {ring['iova']:#x}, rptr {ring['rptr']}, wptr "
                f"{ring['wptr']} (dwords), last fence {ring['last-fence']}, retired {ring['retired-fence']}."
                for ring in dump.rings
            ),
        ]
        if place := dump.place():
            notes.append(place)
        if dump.passed:
            listed = ", ".join(f"{n:,} of {section}" for section, n in dump.passed.items())
            notes.append(f"Passed over: lines that say nothing of addresses ({listed}).")
        describe(draft, self.made, name, self.source.path)
        draft.notes[:0] = notes
        draft.notes.append(
            "Progress: the ring is followed from the packet in which rptr stands to wptr. Where in this the "
            "GPU hung is not told apart; what is behind it was never fetched, or only read ahead."
        )
        if dump.fault is None:
            draft.not_contained.append("A fault: the dump has no fault-info; it was made for another reason.")
        draft.not_contained += [
            "What came before: a dump is one moment. Its buffers are those of the submit that hung, all "
            "mapped before the first access.",
            "Buffers that the kernel maps for itself besides the ring (fences, firmware).",
        ]
