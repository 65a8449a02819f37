"""Follows command streams as a command processor does: packet after packet, into what each one calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from traces.adreno import pm4
from traces.adreno.buffers import Buffers
from traces.adreno.contents import Contents
from traces.adreno.emit import Emitter
from traces.adreno.groups import CP_SET_MARKER, DRAWS, Groups

#: Bytes of a fetch: the step from fault to fault that an Adreno 506 left in a kernel's log.
FETCH = 32
#: Streams inside each other: a ring, and the three levels that a7xx has.
DEPTH = 4
#: Times that a command stream may be gone through, for every time that its bytes are in the file: an
#: immediate-mode frame goes through it once, a tiled one once a tile.
MOST_ROUNDS = 256
#: Opcodes, and places of a stream that are no packets, that are listed.
_LISTED = 16


@dataclass
class _Frame:
    """A stream that has been entered."""

    iova: int
    words: memoryview  # of uint32
    at: int = 0  # the next packet's dword
    fetched: int = 0  # bytes
    ring: tuple[int, int] | None = None  # address and bytes of the ring that it goes round in
    group: bool = False  # a state group

    def address(self, offset: int) -> int:
        """Return a byte's address."""
        if self.ring is None:
            return self.iova + offset
        start, size = self.ring
        return start + (self.iova - start + offset) % size


@dataclass
class Seen:
    """What was met on the way.

    Attributes
    ----------
    streams, calls, packets, dwords : int
        Streams that were submitted, and those that packets called, as far as captured; their packets, and
        what was fetched of them.
    pointers : int
        Addresses in packets.
    missing, missing_dwords : int
        Streams whose bytes were not captured, and what was to be fetched of them.
    groups, group_dwords : int
        State groups that were fetched.
    unfetched : int
        Those of generations whose rules are not known here.
    conditions : int
        Packets that let others be skipped.
    bad_dwords : int
    bad : list of str
        Dwords where a packet should begin, and no header is: how many, and the first.
    other : collections.Counter of str
        Packets that name streams in other ways, by name.
    """

    streams: int = 0
    calls: int = 0
    packets: int = 0
    dwords: int = 0
    pointers: int = 0
    missing: int = 0
    missing_dwords: int = 0
    groups: int = 0
    group_dwords: int = 0
    unfetched: int = 0
    conditions: int = 0
    bad_dwords: int = 0
    bad: list[str] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)


class Walker:
    """Makes accesses of command streams.

    Parameters
    ----------
    out : Emitter
    contents : Contents
        Where streams are read.
    mark : callable
        Takes a label; adds a MARK.
    refuse : callable
        Takes what is wrong, the address where, what was expected and what was found: raises, or returns
        where things are salvaged (then the rest of the stream is left out).
    pointers : bool
        Make a READ of every address that packets hold, rather than of what is fetched.
    lenient : bool
        A dword that is no header is passed over: a hang's dump may well have some.
    """

    def __init__(
        self,
        out: Emitter,
        contents: Contents,
        mark: Callable[[str], None],
        refuse: Callable[[str, int, str, str], None],
        *,
        pointers: bool = False,
        lenient: bool = False,
    ) -> None:
        self.out, self.contents, self.mark, self.refuse = out, contents, mark, refuse
        self.pointers, self.lenient = pointers, lenient
        self.generation = 0
        self.buffers = Buffers()
        self.seen = Seen()
        self._groups = Groups()
        self._left = 0

    def allow(self, size: int) -> None:
        """Tell of bytes that the file holds: so much may be gone through."""
        self._left += size // 4 * MOST_ROUNDS

    def stream(self, iova: int, dwords: int) -> Iterator[np.ndarray]:
        """Go through a stream at an address; yield whole blocks of events."""
        frame = self._enter(iova, dwords)
        if frame is not None:
            self.seen.streams += 1
            yield from self._follow([frame])

    def ring(self, iova: int, words: memoryview, ring: tuple[int, int]) -> Iterator[np.ndarray]:
        """Go through a part of a ring.

        Parameters
        ----------
        iova : int
            Of the first dword.
        words : memoryview
            Its dwords, behind the ring's end those of its start.
        ring : (int, int)
            Where the ring begins, and its bytes, a multiple of `FETCH`.
        """
        self.seen.streams += 1
        yield from self._follow([_Frame(iova, words, ring=ring)])

    def _enter(self, iova: int, dwords: int) -> _Frame | None:
        if not dwords:
            return None
        data = None if iova & 3 else self.contents.read(iova, dwords * 4)
        if data is None:
            self.seen.missing += 1
            self.seen.missing_dwords += dwords
            return None
        return _Frame(iova, as_words(data))

    def _follow(self, stack: list[_Frame]) -> Iterator[np.ndarray]:
        split = pm4.split_old if self.generation < 5 else pm4.split_new
        seen, out = self.seen, self.out
        while stack:
            frame = stack[-1]
            words, at = frame.words, frame.at
            if at >= len(words):
                self._fetch(frame, at)
                stack.pop()
                continue
            found = split(words[at])
            if found is None:
                if self._no_packet(frame, at):
                    frame.at += 1
                else:
                    stack.pop()
                continue
            opcode, count = found
            end = at + 1 + count
            if end > len(words):
                where = f"a packet of {count} dwords, {len(words) - at - 1} before the stream's end"
                if self.lenient:
                    self._list(frame.address(4 * at), where)
                    frame.at = len(words)
                    continue
                self.refuse("a packet that is longer than its command stream", frame.address(4 * at),
                            f"at most {len(words) - at - 1} dwords", f"{count}")  # fmt: skip
                stack.pop()
                continue
            self._left -= end - at
            if self._left < 0:
                expected = f"each captured dword {MOST_ROUNDS} times at most"
                self.refuse(
                    "command streams that go round and round", frame.address(4 * at), expected, "more"
                )
                return
            seen.packets += not frame.group
            self._fetch(frame, end)
            frame.at = end
            if self.pointers and opcode not in (pm4.CP_NOP, pm4.FILLER):
                self._pointers(words, at + 1, end)
            if opcode >= 0:
                self._packet(opcode, words, at + 1, end, stack)
            if out.full():
                yield from out.blocks()

    def _fetch(self, frame: _Frame, upto: int) -> None:
        """Fetch a stream up to a dword, and what of its 32 bytes comes with it."""
        begin, end = frame.fetched, upto * 4
        if end <= begin:
            return
        base, last = frame.iova, len(frame.words) * 4
        end = min(last, (base + end + FETCH - 1) // FETCH * FETCH - base)
        if frame.group:
            self.seen.group_dwords += (end - begin) // 4
        else:
            self.seen.dwords += (end - begin) // 4
        frame.fetched = end
        if self.pointers:
            return
        while begin < end:
            size = min(FETCH - (base + begin) % FETCH, end - begin)
            self.out.read(frame.address(begin), size)
            begin += size

    def _pointers(self, words: memoryview, at: int, end: int) -> None:
        """Read every address of a listed buffer that a packet holds."""
        wide, holds = self.generation >= 5, self.buffers.holds
        while at < end:
            value = words[at]
            if not wide:
                hit, at = holds(value), at + 1
            elif at + 1 == end:
                return
            elif holds(value | words[at + 1] << 32):
                value |= words[at + 1] << 32
                hit, at = True, at + 2
            else:
                hit, at = False, at + 1
            if hit:
                self.seen.pointers += 1
                self.out.read(value, 1)

    def _packet(self, opcode: int, words: memoryview, at: int, end: int, stack: list[_Frame]) -> None:
        """Do what a packet asks for; a stream that it calls comes on top of the stack."""
        wide, seen = self.generation >= 5, self.seen
        if opcode in pm4.INDIRECT and end - at >= 2 + wide:
            iova = words[at] | (words[at + 1] << 32 if wide else 0)
            dwords = words[at + 1 + wide] & pm4.IB_DWORDS
            if len(stack) >= DEPTH:
                self.refuse("command streams too deep in each other", iova, f"{DEPTH} at most", "one more")
            elif (frame := self._enter(iova, dwords)) is not None:
                seen.calls += 1
                stack.append(frame)
        elif opcode == pm4.CP_SET_DRAW_STATE:
            # A group that sets groups is none that a driver makes.
            if self.generation == 6 and not stack[-1].group:
                self._state(self._groups.set(words, at, end), stack)
            else:
                seen.unfetched += 1
        elif self.generation == 6 and opcode in DRAWS:
            self._state(self._groups.draw(), stack)
        elif self.generation == 6 and opcode == CP_SET_MARKER and at < end:
            self._groups.marker(words[at])
        elif opcode == pm4.CP_SMMU_TABLE_UPDATE and wide and end - at >= 2:
            table = words[at] | (words[at + 1] & 0xFFFF) << 32
            self.mark(f"CP_SMMU_TABLE_UPDATE: TTBR0 {table:#x}, ASID {words[at + 1] >> 16}")
        elif opcode in pm4.CONDITIONS:
            seen.conditions += 1
        elif wide and (name := pm4.OTHER_STREAMS[min(self.generation, 7)].get(opcode)):
            seen.other[name] += 1

    def _state(self, groups: list[tuple[int, int]], stack: list[_Frame]) -> None:
        """Enter state groups, the first on top."""
        for iova, dwords in reversed(groups):
            frame = self._enter(iova, dwords)
            if frame is not None:
                frame.group = True
                self.seen.groups += 1
                stack.append(frame)

    def _no_packet(self, frame: _Frame, at: int) -> bool:
        """Meet a dword that is no header; return whether to go on behind it."""
        value, iova = frame.words[at], frame.address(4 * at)
        if not self.lenient:
            self.refuse("no packet's header", iova, "a PM4 header of this GPU's generation", f"{value:#010x}")
            return False
        self._list(iova, f"{value:#010x}")
        self._left -= 1
        return self._left > 0

    def _list(self, iova: int, what: str) -> None:
        self.seen.bad_dwords += 1
        if len(self.seen.bad) < _LISTED:
            self.seen.bad.append(f"{what} at {iova:#x}")
            self.mark(f"no packet: {what} at {iova:#x}")


def as_words(data: bytes) -> memoryview:
    """Return little-endian dwords."""
    return as_view(np.frombuffer(data[: len(data) & -4], "<u4").astype(np.uint32))


def as_view(words: Any) -> memoryview:
    """Return an array of uint32 as what gives plain integers, fast."""
    return memoryview(words)
