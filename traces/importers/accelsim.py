"""Imports Accel-Sim's traces of CUDA kernels: one kernel's file, or a list of kernels and copies.

The file has each warp's instructions in order, and no order between warps.  One is made up, and stated: on N
SMs with M thread blocks each, every resident warp issues one instruction a round, in the order of SM, thread
block and warp.  A thread block that has ended gives its place to the file's next one in the round after.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from traces.errors import TraceError
from traces.events import EVENT, EXEC, MARK, PA_UNKNOWN, READ, WRITE
from traces.importers import accelsim_line
from traces.importers.accelsim_kernel import Kernel, ThreadBlock
from traces.importers.accelsim_line import ATOMIC, SECTOR
from traces.importers.ordered import ROW, Ordered
from traces.importers.result import Draft, Options, as_granule
from traces.importers.source import Source
from traces.importers.touched import Touched

WHAT = "an Accel-Sim kernel (.traceg) or kernelslist.g"
OPTIONS: frozenset[str] = frozenset({"sms", "resident", "pace", "relocate", "granule"})

#: What is assumed of the GPU where the user says nothing: SMs, and thread blocks resident on each.
SMS, RESIDENT = 16, 2
POLICY = "round-robin: a round is one instruction of every resident warp, by SM, thread block, warp"
#: Thread blocks that may be resident at once.
_MOST_RESIDENT = 1 << 16
#: Memory instructions that are held before they are sorted away.
_MOST_HELD = 1 << 15
#: Bytes that one copy may have: more than any GPU.
_MOST_COPIED = 1 << 38

_COPY = re.compile(r"MemcpyHtoD,0x([0-9a-f]{1,16}),([0-9]{1,15})", re.IGNORECASE)
_KERNEL = re.compile(r"kernel[\w.+-]{1,200}", re.ASCII)
_OTHER = re.compile(r"[A-Za-z]\w{2,40}(?:,.{0,400})?", re.ASCII)
_SNIFF = re.compile(
    rb"\s*(?:MemcpyHtoD,0x[0-9A-Fa-f]{1,16},[0-9]+|kernel[\w.+-]{0,200}\.traceg\S{0,8})[ \t\r]*(?:\n|$)"
)
_ENDINGS = ("", ".gz", ".zst", ".xz")


def sniff(head: bytes, name: str) -> bool:
    """Tell whether a file begins like a kernel or a list of kernels."""
    return head.startswith(b"-kernel name = ") or _SNIFF.match(head) is not None


def draft(source: Source) -> Draft:
    """Return the manifest's beginnings."""
    return Draft(
        title=f"CUDA kernels, from {source.path.name.encode(errors='replace').decode()}",
        kind="derived",
        source="a trace by Accel-Sim's tracer that somebody recorded; the file does not say who",
        device="an NVIDIA GPU behind its own MMU",
        tool="Accel-Sim's tracer (NVBit)",
        clock="none: rounds, in each of which every resident warp issues one instruction",
        direction="By opcode: loads are reads; stores, atomics and reductions are writes.",
        streams={0: "GPU"},
        not_contained=[
            "An SMMU: addresses are CUDA's virtual ones, of the GPU's own MMU.",
            "Time, and the order between warps: that here is made up (see notes and parameters).",
            "Caches: every access of an instruction is here, also those that would hit.",
            "Shared, local, constant and texture memory, instruction fetches, what the tracer cannot see.",
            "UNMAPs; MAPs of its own: those here are of the pages that are used or copied to.",
        ],
    )


def read(source: Source, draft: Draft, options: Options) -> Iterator[np.ndarray]:
    """Yield the kernels' accesses, behind the MAPs of their pages."""
    with Ordered(source.scratch) as ordered:
        importer = _Importer(source, draft, options, ordered)
        head = source.head().lstrip()
        if head.startswith(b"-"):
            importer.kernel(source)
        else:
            importer.commands()
        yield from importer.events()


class _Importer:
    """Makes rows of kernels, one after another."""

    def __init__(self, source: Source, draft: Draft, options: Options, ordered: Ordered) -> None:
        self.source = source
        self.draft = draft
        self.ordered = ordered
        self.sms, self.resident = options.sms or SMS, options.resident or RESIDENT
        if self.sms * self.resident > _MOST_RESIDENT:
            found = f"{self.sms} SMs with {self.resident}"
            raise TraceError(
                "too many thread blocks at once", "--sms, --resident", f"{_MOST_RESIDENT}", found
            )
        self.pace = options.pace or 1
        self.granule, self.apart = as_granule(options.granule), options.relocate
        if self.apart % self.granule:
            expected = f"whole pages of {self.granule >> 10} KiB"
            raise TraceError("pages that would overlap", "--relocate", expected, str(self.apart))
        self.touched = Touched(self.granule, str(source.path))
        self.round = self.marks = self.kernels = self.copies = self.copied = 0
        self.counts: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.said: dict[str, set[str]] = {"version": set(), "nvbit": set(), "architecture": set()}
        self.digests: list[str] = []

    def commands(self) -> None:
        """Follow a list of kernels and copies."""
        for number, line in self.source.lines():
            text, where = line.strip(), self.source.line(number)
            if not text:
                continue
            copy = _COPY.fullmatch(text)
            if copy is not None:
                self._copy(int(copy[1], 16), int(copy[2]), where)
            elif _KERNEL.fullmatch(text) and ".traceg" in text:
                self._beside(text, where)
            elif _OTHER.fullmatch(text) and not text.lower().startswith(("memcpyhtod", "kernel")):
                name = text.partition(",")[0]
                self.skipped[name if len(self.skipped) < 16 or name in self.skipped else "others"] += 1
            else:
                expected = "MemcpyHtoD,0x...,BYTES or a kernel's file name"
                self.source.dropped.refuse("cannot read the line", where, expected, text[:80])

    def _beside(self, name: str, where: str) -> None:
        """Read a kernel's file that lies beside the list."""
        folder = self.source.path.parent
        path = next((p for end in _ENDINGS if (p := folder / (name + end)).is_file()), None)
        if path is None:
            self.source.dropped.refuse(
                "a kernel's file is missing", where, "beside the list, perhaps packed", name
            )
            return
        with Source(path, self.source.dropped, self.source.scratch, self.source.progress) as source:
            try:
                self.kernel(source)
            except TraceError as error:
                if not self.source.dropped.salvage:
                    raise
                self.source.dropped.refuse(error.what, error.where, error.expected, error.found)
            self.digests.append(source.sha256)

    def _copy(self, iova: int, size: int, where: str) -> None:
        if iova + size > 1 << 48 or not 0 < size <= _MOST_COPIED:
            expected = f"1 to {_MOST_COPIED} bytes, below 48 bits"
            self.source.dropped.refuse("a bad copy", where, expected, f"{size} bytes at {iova:#x}")
            return
        self.touched.add_range(iova, size)
        self.copies, self.copied = self.copies + 1, self.copied + size
        self._mark(f"MemcpyHtoD {iova:#x}, {size} bytes")

    def _mark(self, label: str) -> None:
        row = np.zeros(1, ROW)
        row["t"], row["rank"], row["op"], row["iova"] = self.round, self.marks, MARK, self.draft.mark(label)
        self.marks += 1
        self.ordered.add(row)

    def kernel(self, source: Source) -> None:
        """Read a kernel, which begins when the one before has ended."""
        kernel = Kernel(source)
        kernel.open()
        header = kernel.header
        for key, value in (("version", str(header.version)), ("nvbit", header.nvbit),
                           ("architecture", header.architecture)):  # fmt: skip
            if len(self.said[key]) < 8:
                self.said[key].add(value)
        self.kernels += 1
        self._mark(f"kernel {header.number}: {header.name.encode(errors='replace').decode()}")
        # Free places by the round in which they become free; the first thread blocks go to all SMs in turn.
        places = [(self.round, place) for place in range(min(self.sms * self.resident, header.blocks))]
        end = self.round
        for block, whole in kernel.thread_blocks(_MOST_HELD):
            start, place = places[0]
            self._place(block, start, place, header.warps)
            if whole:
                heapq.heapreplace(places, (start + block.length, place))
                end = max(end, start + block.length)
        self.round = end
        self.counts["insts"] += kernel.parsed
        self.counts["memory"] += kernel.memory
        self.counts["absent"] += kernel.absent
        self.others.update(kernel.others)
        self.unknown.update(kernel.unknown)

    def _place(self, block: ThreadBlock, start: int, place: int, warps: int) -> None:
        """Add a thread block's accesses at their rounds."""
        order = place % self.sms * self.resident + place // self.sms
        rows: list[tuple[int, int, int, int]] = []
        for warp in block.warps:
            # Behind the marks of the same round, and with room for 64 sectors of an instruction.
            rank = 1 << 40 | (order * warps + warp.number) << 7
            for number, made in warp.memory:
                op = READ if made.memory == accelsim_line.READ else WRITE
                sectors = made.sectors()
                for k, sector in enumerate(sectors):
                    rows.append((start + number, rank + k, op, sector))
                self._count(made, op, len(sectors))
        if not rows:
            return
        out = np.zeros(len(rows), ROW)
        whole = np.array(rows, np.uint64)
        for k, name in enumerate(("t", "rank", "op", "iova")):
            out[name] = whole[:, k]
        out["size"] = SECTOR
        self.touched.add(out["iova"])
        self.ordered.add(out)

    def _count(self, made: Any, op: int, sectors: int) -> None:
        lanes = len(made.lanes)
        self.counts["active"] += 1
        self.counts["lanes"] += lanes
        self.counts["writes"] += lanes * (op == WRITE)
        self.counts["atomics"] += made.opcode in ATOMIC
        self.counts["sectors"] += sectors
        self.counts["width"] += made.width != made.said

    def events(self) -> Iterator[np.ndarray]:
        """Yield everything in order, and say in the manifest what was done."""
        if not self.ordered.rows:
            return
        if self.round * self.pace >= 1 << 63:
            found = f"{self.round:,} rounds of {self.pace:,} ns"
            raise TraceError("a trace that is too long", "--pace", "63 bits of ns", found)
        pages = self.touched.finish()
        if self.apart:
            self.touched.check_move(self.apart)
        self.draft.granule = self.granule
        self.draft.space("all", "the GPU's virtual addresses")
        yield from self.touched.maps(self.apart)
        for rows in self.ordered.blocks():
            out = np.zeros(rows.size, EVENT)
            for name, column in (("t_ns", "t"), ("op", "op"), ("iova", "iova"), ("size", "size")):
                out[name] = rows[column]
            out["t_ns"] *= np.uint64(self.pace)
            access = out["op"] <= EXEC
            out["pa"][access] = PA_UNKNOWN
            if self.apart and access.any():
                out["iova"][access] = self.touched.moved(out["iova"][access], self.apart)
            yield out
        self._conclude(pages)

    def _conclude(self, pages: int) -> None:
        draft, n = self.draft, self.counts
        digest = ", ".join(sorted(self.said["architecture"] - {""})) or "?"
        draft.device += f" (binary version {digest})"
        versions, nvbits = (", ".join(sorted(self.said[key])) for key in ("version", "nvbit"))
        draft.tool_version = f"{versions} (NVBit {nvbits})"
        draft.clock = (
            f"none: {self.pace:,} ns is one round, in which every resident warp issues one instruction"
        )
        draft.parameters = {
            "interleaving": POLICY, "sms": self.sms, "resident": self.resident, "sector": SECTOR,
            "pace_ns": self.pace, "granule": self.granule, "relocate": self.apart,
        }  # fmt: skip
        draft.notes += [
            f"Kernels: {self.kernels:,}, one after another, with {n['insts']:,} instructions, as many as "
            f"they declare. Of them {n['memory']:,} use global memory, {n['active']:,} with a lane active, "
            f"with {n['lanes']:,} lane addresses, {n['writes']:,} of them written; {n['atomics']:,} are "
            f"atomics and reductions. {pages:,} pages of {self.granule >> 10} KiB are used or copied to.",
            f"Sizes: an instruction's lanes are joined to the {SECTOR}-byte sectors that they touch, each "
            f"once: {n['sectors']:,} accesses. A lane's bytes are as its opcode tells; {n['width']:,} "
            "instructions have another number beside it.",
            f"Order: {POLICY}. {self.sms} SMs with {self.resident} thread blocks each; a thread block that "
            "has ended gives its place to the next of the file. Barriers and latencies are not heeded.",
            "MAPs: at time 0, of every page that is used or copied to, runs of them together; output "
            "addresses are made up, and so that no table entry is larger than a page.",
        ]
        if self.apart:
            draft.notes.append(
                f"Addresses: --relocate moved each page to {self.apart:,} bytes from the next, in their "
                "order; labels of copies have the old ones."
            )
        if self.copies:
            draft.notes.append(
                f"Copies: {self.copies:,} MemcpyHtoD of {self.copied:,} bytes are MARKs, and no accesses."
            )
        left = ", ".join(f"{count:,} {name}" for name, count in sorted(self.others.items()))
        if left:
            draft.notes.append(f"Left out, as they use no global memory or do not tell what of it: {left}.")
        if self.unknown:
            left = ", ".join(f"{count:,} {name}" for name, count in sorted(self.unknown.items()))
            draft.notes.append(f"Left out, as it is not known which memory they use: {left}.")
        if self.skipped:
            left = ", ".join(f"{count:,} {name}" for name, count in sorted(self.skipped.items()))
            draft.notes.append(f"Left out, commands of the list: {left}.")
        if n["absent"]:
            draft.notes.append(f"Warps: {n['absent']:,} of the thread blocks' warps are not in the file.")
        if self.digests:
            listed = ", ".join(digest[:16] for digest in self.digests[:64])
            draft.notes.append(f"Files: sha256 of each kernel's, its first 16 digits: {listed}.")
