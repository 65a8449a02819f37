"""Imports an Adreno command-stream capture (.rd): buffer lists as mappings, command streams as accesses."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator

import numpy as np

from traces.adreno.accesses import FETCHED, Accesses
from traces.adreno.buffers import Buffers, Range, pages_of
from traces.adreno.contents import Contents
from traces.adreno.describe import describe
from traces.adreno.pm4 import IB_DWORDS, generation
from traces.importers.octets import Octets
from traces.importers.result import Draft, Options, table_problem
from traces.importers.source import Source

WHAT = "an Adreno command-stream capture (.rd)"
OPTIONS: frozenset[str] = frozenset({"accesses"})

GPUADDR, CMD, CMDSTREAM_ADDR, CONTENTS, GPU_ID, CHIP_ID = 3, 2, 6, 12, 13, 14
#: Section types, by number.
SECTIONS = ("NONE", "TEST", "CMD", "GPUADDR", "CONTEXT", "CMDSTREAM", "CMDSTREAM_ADDR", "PARAM", "FLUSH",
            "PROGRAM", "VERT_SHADER", "FRAG_SHADER", "BUFFER_CONTENTS", "GPU_ID", "CHIP_ID",
            "SHADER_LOG_BUFFER", "CP_LOG_BUFFER", "WRBUFFER")  # fmt: skip
#: Sizes of those that have one.
SIZES = {GPUADDR: (8, 12), CMDSTREAM_ADDR: (8, 12), GPU_ID: (4,), CHIP_ID: (8,)}
#: A marker without a payload, which some recorders write.
SYNC = b"\xff" * 8
#: Sections in a row that no other file has.
_SURE = 3
#: Most bytes of a text that is read, and of a mark's label.
_TEXT, _LABEL = 4096, 120
#: Buffers of one list.
_MOST_LISTED = 1 << 16
_SUBMIT = re.compile(r"(?P<who>.{0,64}/[0-9]{1,10}): fence=[0-9]{1,20}")


def sniff(head: bytes, name: str) -> bool:
    """Tell whether a file begins with sections as such captures have."""
    at, known = 0, 0
    while at + 8 <= len(head) and known < _SURE:
        if head[at : at + 8] == SYNC:
            at += 8
            continue
        kind, size = struct.unpack_from("<II", head, at)
        if not 1 <= kind < len(SECTIONS) or (kind in SIZES and size not in SIZES[kind]):
            return known > 0 and name.endswith(".rd")
        known += 1
        at += 8 + size
    # A section that is longer than the head, or is cut short, is for `read` to judge.
    return known > 0


def draft(source: Source) -> Draft:
    """Return the manifest's beginnings; `read` says the rest when it knows which accesses are made."""
    return Draft(
        title=f"an Adreno's command streams, from {source.path.name.encode(errors='replace').decode()}",
        kind="derived",
        source="an Adreno command-stream capture (.rd) that somebody recorded; the file does not say who",
        device="an Adreno GPU",
        tool="rd capture of a driver or a wrapper library",
        clock="none",
        direction="none",
    )


def read(source: Source, draft: Draft, options: Options) -> Iterator[np.ndarray]:
    """Yield the capture's events."""
    with Contents() as contents:
        yield from _Importer(source, draft, contents, options.accesses or FETCHED).run()


class _Importer:
    """Makes events of sections."""

    def __init__(self, source: Source, draft: Draft, contents: Contents, mode: str) -> None:
        self.source, self.draft, self.mode = source, draft, mode
        self.contents = contents
        self.octets = Octets(source)
        self.made = Accesses(draft, contents, mode, self._refuse_stream)
        self.sections: Counter[str] = Counter()
        self.distinct: set[Range] = set()
        self.gpu_id = self.chip_id = 0
        self.submits = self.sub_page = self.start = 0
        self.who = ""
        self.spaces: dict[str, tuple[int, Buffers]] = {}
        self.listed: list[Range] = []
        self.fresh = True  # the next GPUADDR begins a list
        self.last: Range | None = None  # the buffer that contents may follow

    def run(self) -> Iterator[np.ndarray]:
        """Read every section."""
        while (section := self._section()) is not None:
            kind, size = section
            self.sections[SECTIONS[kind]] += 1
            if kind == CONTENTS:
                self._contents(size)
                continue
            self.last = None
            keep = SIZES[kind][-1] if kind in SIZES else _TEXT if kind == CMD else 0
            data = self.octets.take(min(size, keep))
            for _ in self.octets.pieces(size - len(data)):
                pass
            if self.octets.offset < self.start + 8 + size:
                self._short(size)
                break
            if kind == CMDSTREAM_ADDR:
                yield from self._submit(data)
            elif kind == GPUADDR:
                self._buffer(data)
            elif kind == CMD:
                self._command(data)
            elif kind == GPU_ID:
                (self.gpu_id,) = struct.unpack("<I", data)
            elif kind == CHIP_ID:
                (self.chip_id,) = struct.unpack("<Q", data)
        if self.listed and self.fresh is False:
            self._space()
            self.made.list_more(self.listed)
        yield from self.made.rest()
        self._conclude()

    def _refuse(self, what: str, expected: str, found: str) -> None:
        self.source.dropped.refuse(what, self.octets.at(self.start), expected, found)

    def _refuse_stream(self, what: str, iova: int, expected: str, found: str) -> None:
        where = f"{self.octets.at(self.start)}, command stream at {iova:#x}"
        self.source.dropped.refuse(what, where, expected, found)

    def _section(self) -> tuple[int, int] | None:
        """Read a section's head; None at the end."""
        while True:
            self.start = self.octets.offset
            head = self.octets.take(8)
            if not head:
                return None
            if head == SYNC:
                self.sections["sync marker"] += 1
                continue
            if len(head) < 8:
                self._refuse("a section's head is cut short", "8 bytes", f"{len(head)}")
                return None
            kind, size = struct.unpack("<II", head)
            if not 1 <= kind < len(SECTIONS):
                # Without a size to trust there is no next section either.
                self._refuse("no section's type", f"1 to {len(SECTIONS) - 1}", str(kind))
                return None
            if kind in SIZES and size not in SIZES[kind]:
                expected = f"{' or '.join(map(str, SIZES[kind]))} bytes"
                self._refuse(f"a {SECTIONS[kind]} of another size", expected, str(size))
                return None
            return kind, size

    def _short(self, size: int) -> None:
        found = f"{self.octets.offset - self.start - 8}"
        self._refuse("the last section is cut short", f"{size} bytes", found)

    def _contents(self, size: int) -> None:
        last, self.last = self.last, None
        good = last is not None and last[1] - last[0] == size
        if last is None:
            self._refuse("contents without a buffer", "a GPUADDR before them", "none")
        elif not good:
            self._refuse("contents that are not as long as their buffer", f"{last[1] - last[0]}", str(size))
        elif last is not None:
            self.contents.begin(last[0])
        for piece in self.octets.pieces(size):
            if good:
                self.contents.write(piece)
        if self.octets.offset < self.start + 8 + size:
            if good:
                self.contents.drop()
            self._short(size)
        elif good:
            self.made.walker.allow(size)

    def _buffer(self, data: bytes) -> None:
        lo, size, *hi = struct.unpack(f"<{len(data) // 4}I", data)
        iova = lo | (hi[0] << 32 if hi else 0)
        if self.fresh:
            self.contents.clear()
            self.listed, self.fresh = [], False
        if not size:
            self._refuse("a buffer of no bytes", "1 or more", "0")
            return
        start, end = pages_of(iova, iova + size)
        if problem := table_problem(start, end - start):
            self._refuse("a buffer that cannot be mapped", *problem)
            return
        if len(self.listed) >= _MOST_LISTED:
            self._refuse("a list of too many buffers", f"{_MOST_LISTED} at most", "one more")
            return
        self.last = iova, iova + size
        self.sub_page += bool(iova & 0xFFF)
        self.listed.append(self.last)
        if len(self.distinct) < _MOST_LISTED:
            self.distinct.add(self.last)

    def _command(self, data: bytes) -> None:
        text = data.split(b"\0")[0].decode("utf-8", "replace")
        label = " ".join(text.split())[:_LABEL]
        if match := _SUBMIT.match(text):
            self.who = match["who"]
        if label:
            self.made.mark(label)

    def _space(self) -> None:
        """Choose the space of the process whose buffers are listed."""
        if self.who not in self.spaces:
            name = f"the tables of {self.who}" if self.who else "the process that was recorded"
            self.spaces[self.who] = self.draft.space(self.who, name), Buffers()
        space, buffers = self.spaces[self.who]
        self.made.enter(space, buffers)

    def _submit(self, data: bytes) -> Iterator[np.ndarray]:
        lo, dwords, *hi = struct.unpack(f"<{len(data) // 4}I", data)
        iova = lo | (hi[0] << 32 if hi else 0)
        age = generation(self.gpu_id, self.chip_id)
        if not age:
            found = f"GPU_ID {self.gpu_id}, CHIP_ID {self.chip_id:#x}"
            self._refuse("a command stream of an unknown GPU", "a GPU_ID or CHIP_ID before it", found)
            return
        if dwords > IB_DWORDS:
            self._refuse("a command stream that is too long", f"{IB_DWORDS} dwords at most", str(dwords))
            return
        self.made.walker.generation = age
        self._space()
        if not self.fresh:
            # A stream that follows another one directly has the same list.
            self.made.list_only(self.listed)
            self.fresh = True
        self.made.mark(f"command stream {self.submits}: {dwords} dwords at {iova:#x}")
        self.submits += 1
        yield from self.made.submit(iova, dwords)

    def _conclude(self) -> None:
        """Say in the manifest what was seen, and what was not."""
        draft = self.draft
        name = f"Adreno {self.gpu_id}" if self.gpu_id else f"an Adreno of chip {self.chip_id:#x}"
        draft.device = f"{name}, as its command processor sees memory"
        draft.streams[0] = "the command processor (its stream ID is not in the file)"
        describe(draft, self.made, name, self.source.path)
        counted = ", ".join(f"{n:,} {name}" for name, n in sorted(self.sections.items()))
        draft.notes[:0] = [f"Sections: {counted}; {len(self.distinct):,} distinct buffers."]
        draft.not_contained += [
            "The driver's map and unmap calls: a buffer is mapped here from the first submit that lists it "
            "to the first of its process that does not: its lifetime, not when its tables changed.",
            "TLB invalidations: each UNMAP stands for its own.",
            "The ring buffer: the packets that call these command streams, and the kernel's own.",
        ]
        if self.sub_page:
            draft.notes.append(
                f"Pages: {self.sub_page:,} of the buffers' records do not begin at a page (they are parts of "
                "larger buffers, which the file does not name). Every page that one touches is mapped whole; "
                "parts that share a page share its mapping."
            )
