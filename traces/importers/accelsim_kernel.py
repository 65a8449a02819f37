"""One kernel of an Accel-Sim trace: its header, and its warps, each whole or not at all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from traces.errors import TraceError
from traces.importers.accelsim_line import READ, WRITE, BadLineError, Instruction, reader
from traces.importers.source import Source

VERSIONS = range(3, 7)
_THREADS, _LANES = 1024, 32
_GLOBAL = "global"
#: Most lines before the first thread block.
_MOST_HEADER = 256

_FIELD = re.compile(r"-([a-z][a-z_ ]{0,39}?) = (.{0,4096})")
_DIM = re.compile(r"\(([0-9]{1,10}),([0-9]{1,10}),([0-9]{1,10})\)")
_BLOCK = re.compile(r"thread block = [0-9]{1,10},[0-9]{1,10},[0-9]{1,10}")
_WARP = re.compile(r"warp = ([0-9]{1,4})")
_INSTS = re.compile(r"insts = ([0-9]{1,12})")


@dataclass
class Header:
    """What a kernel's file says of it.

    Attributes
    ----------
    name : str
    number : str
    blocks, warps : int
        Thread blocks, and warps of each.
    version : int
        Of the tracer.
    lineinfo : bool
    shared, local : int
        Where the windows of shared and of local memory begin; 0 where it does not say.
    architecture, nvbit : str
    """

    name: str
    number: str
    blocks: int
    warps: int
    version: int
    lineinfo: bool
    shared: int
    local: int
    architecture: str
    nvbit: str


@dataclass
class Warp:
    """A warp.

    Attributes
    ----------
    number, count : int
        Of the thread block's warps, and its instructions.
    memory : list of (int, Instruction)
        Those with lanes that use global memory, by their numbers.
    uses, unknown : collections.Counter of str
        What its memory instructions use; opcodes of which that is not known.
    """

    number: int
    count: int = 0
    memory: list[tuple[int, Instruction]] = field(default_factory=list)
    uses: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def note(self, made: Instruction) -> None:
        """Count an instruction by what memory it uses."""
        for place, lanes in made.elsewhere.items():
            self.uses[f"{place} lanes of generic addresses"] += lanes
        if made.memory == "unknown":
            opcode = made.opcode[:40]
            self.unknown[opcode if len(self.unknown) < 64 or opcode in self.unknown else "others"] += 1
        else:
            self.uses[_GLOBAL if made.memory in (READ, WRITE) else made.memory] += 1


@dataclass
class ThreadBlock:
    """A thread block: its warps that are whole."""

    warps: list[Warp] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Instructions of its longest warp."""
        return max((warp.count for warp in self.warps), default=0)


class Kernel:
    """Reads one kernel.

    Parameters
    ----------
    source : Source

    Attributes
    ----------
    header : Header
        Once `open` was called.
    parsed : int
        Instructions of warps that are whole: as many as they declare.
    memory : int
        Instructions that use global memory, were any lane active.
    blocks : int
        Thread blocks that have ended.
    absent : int
        Warps that those do not have.
    others : collections.Counter of str
        Memory instructions by what they use, where that is not global memory.
    unknown : collections.Counter of str
        Opcodes that use memory of a kind that is not known.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.header: Header
        self.parsed = self.blocks = self.absent = self.memory = 0
        self.others: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self._block: ThreadBlock | None = None
        self._warp: Warp | None = None
        self._seen: set[int] = set()
        self._said, self._held, self._number = -1, 0, 0
        self._read: Callable[[str], Instruction]
        self._lines: Iterator[tuple[int, str]] = source.lines()

    def open(self) -> None:
        """Read the header.

        Raises
        ------
        TraceError
            No kernel of a version that is known; salvage does not help.
        """
        fields: dict[str, str] = {}
        number = 0
        for number, line in self._lines:
            if line.startswith("#"):
                self._lines = chain([(number, line)], self._lines)
                break
            match = _FIELD.fullmatch(line.rstrip())
            if match is None or number > _MOST_HEADER:
                raise TraceError("no kernel's header", self.source.line(number), "-NAME = VALUE", line[:80])
            fields[match[1]] = match[2].strip()
        where = self.source.line(number)
        version = fields.get("accelsim tracer version", "none")
        if version not in map(str, VERSIONS):
            expected = f"accelsim tracer version = {VERSIONS[0]} to {VERSIONS[-1]}"
            raise TraceError("a tracer that is not known", where, expected, version[:80])
        grid, block = self._dim(fields, "grid dim", where), self._dim(fields, "block dim", where)
        if block > _THREADS:
            raise TraceError("a bad block dim", where, f"{_THREADS} threads at most", str(block))
        lineinfo = fields.get("enable lineinfo", "0")
        if lineinfo not in ("0", "1"):
            raise TraceError("a bad enable lineinfo", where, "0 or 1", lineinfo[:80])
        self.header = Header(
            name=fields.get("kernel name", "(no name)")[:200],
            number=fields.get("kernel id", "?")[:20],
            blocks=grid,
            warps=-(-block // _LANES),
            version=int(version),
            lineinfo=lineinfo == "1",
            shared=self._base(fields, "shmem base_addr", where),
            local=self._base(fields, "local mem base_addr", where),
            architecture=fields.get("binary version", "")[:20],
            nvbit=fields.get("nvbit version", "")[:20],
        )

    def _dim(self, fields: dict[str, str], name: str, where: str) -> int:
        match = _DIM.fullmatch(fields.get(name, "none"))
        product = int(match[1]) * int(match[2]) * int(match[3]) if match else 0
        if not 0 < product < 1 << 48:
            raise TraceError(f"a bad {name}", where, "(X,Y,Z)", fields.get(name, "none")[:80])
        return product

    def _base(self, fields: dict[str, str], name: str, where: str) -> int:
        text = fields.get(name, "0x0")
        if not re.fullmatch(r"0x[0-9a-f]{1,16}", text):
            raise TraceError(f"a bad {name}", where, "0x...", text[:80])
        return int(text, 16)

    def thread_blocks(self, most: int) -> Iterator[tuple[ThreadBlock, bool]]:
        """Yield the thread blocks, as they stand in the file.

        Parameters
        ----------
        most : int
            Memory instructions after which a thread block is given in parts.

        Yields
        ------
        (ThreadBlock, bool)
            And whether that was all of it.  A part has the warps' lengths as far as they are known.
        """
        header = self.header
        self._read = reader(header.version, header.lineinfo, header.shared, header.local)
        for number, raw in self._lines:
            line, self._number = raw.strip(), number
            ended = None
            if line.startswith("#"):
                ended = self._fence(line)
            elif line and self._block is None:
                self._refuse("an instruction outside a thread block", "#BEGIN_TB", line[:80])
            elif line.startswith("warp ="):
                self._begin_warp(line)
            elif line.startswith("insts ="):
                self._count(line)
            elif line.startswith("thread block"):
                if not _BLOCK.fullmatch(line):
                    self._refuse("a bad thread block", "thread block = X,Y,Z", line[:80])
            elif line and self._warp is not None:
                self._instruction(self._warp, line)
            if ended is not None:
                yield ended, True
            elif self._held >= most:
                yield self._part(), False
        self._end_warp()
        if self._block is not None:
            self._refuse("a thread block that does not end", "#END_TB", "the end of the file")
            yield self._block, True
        elif self.blocks != header.blocks:
            found = f"{self.blocks:,}"
            self._refuse("thread blocks are missing", f"{header.blocks:,}, as grid dim says", found)

    def _fence(self, line: str) -> ThreadBlock | None:
        """Begin or end a thread block; return one that has ended."""
        if line not in ("#BEGIN_TB", "#END_TB"):
            if not line.startswith("#traces format"):
                self._refuse("cannot read the line", "#BEGIN_TB or #END_TB", line[:80])
            return None
        self._end_warp()
        ended, self._block = self._block, None
        if line == "#BEGIN_TB":
            if ended is not None:
                self._refuse("a thread block that does not end", "#END_TB", line)
            self._block, self._seen, self._held = ThreadBlock(), set(), 0
        elif ended is None:
            self._refuse("an end without a thread block", "#BEGIN_TB", line)
        else:
            self.blocks += 1
            self.absent += self.header.warps - len(self._seen)
        return ended

    def _begin_warp(self, line: str) -> None:
        self._end_warp()
        match = _WARP.fullmatch(line)
        if match is None or int(match[1]) >= self.header.warps or int(match[1]) in self._seen:
            self._refuse("a bad warp", f"a warp of 0 to {self.header.warps - 1}, once", line[:80])
            return
        self._warp = Warp(int(match[1]))
        self._seen.add(self._warp.number)

    def _count(self, line: str) -> None:
        match = _INSTS.fullmatch(line)
        if match is None or self._said >= 0:
            self._refuse("a bad count of instructions", "insts = ..., once", line[:80])
            self._warp = None
        elif self._warp is not None:
            self._said = int(match[1])

    def _end_warp(self) -> None:
        """Take the warp that has ended, if it is whole."""
        warp, said = self._warp, self._said
        self._warp, self._said = None, -1
        if warp is None or self._block is None:
            return
        if said != warp.count:
            expected = f"insts = {said}" if said >= 0 else "insts = ..."
            self._refuse("a warp of another length than it says", expected, str(warp.count))
            return
        self._block.warps.append(warp)
        self.parsed += said
        self.memory += warp.uses.pop(_GLOBAL, 0)
        self.others.update(warp.uses)
        for opcode, n in warp.unknown.items():
            self.unknown[opcode if len(self.unknown) < 64 or opcode in self.unknown else "others"] += n

    def _instruction(self, warp: Warp, line: str) -> None:
        try:
            if self._said < 0:
                raise BadLineError("insts = ... before", line[:80])
            made = self._read(line)
        except BadLineError as bad:
            self._refuse("cannot read the instruction", bad.expected, bad.found)
            self._warp = None
            return
        if made.memory:
            warp.note(made)
            if made.lanes:
                warp.memory.append((warp.count, made))
                self._held += 1
        warp.count += 1

    def _part(self) -> ThreadBlock:
        """Return what is held, and hold it no more: a warp this long is not kept until its end."""
        assert self._block is not None
        warps = [*self._block.warps, *([self._warp] if self._warp is not None else [])]
        part = ThreadBlock([Warp(warp.number, warp.count, warp.memory) for warp in warps])
        for warp in warps:
            warp.memory = []
        self._held = 0
        return part

    def _refuse(self, what: str, expected: str, found: str) -> None:
        self.source.dropped.refuse(what, self.source.line(self._number), expected, found)
