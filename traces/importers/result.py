"""What a reader is asked for, and what it gives beside its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from traces.errors import TraceError
from traces.manifest import Space, Upper

#: Spaces that a trace's events can name.
MOST_SPACES = 1 << 16
#: AArch64's, bytes; the first is the usual one.
GRANULES: tuple[Literal[4096, 16384, 65536], ...] = (4096, 16384, 65536)
#: Labels that an imported trace lists; events beyond them are counted under one more.
MOST_MARKS = 4096
_OTHER = "other events: more labels than an imported trace lists"


@dataclass(frozen=True)
class Options:
    """What a user may say about a file; each reader names those that it heeds.

    Attributes
    ----------
    map : dict of str to str
        Column -> field of an event.
    real_clock : bool
        The times are a real machine's: durations are evidence.
    accesses : str
        Of an Adreno's capture: which accesses to make (`traces.adreno.accesses`); empty for the default.
    granule : int
        Bytes of the smallest pages of the tables; 0: 4096.
    sms, resident : int
        SMs of a GPU, and thread blocks resident on each; 0: the reader's own.
    pace : int
        Nanoseconds of a round, where the reader makes rounds up; 0: 1.
    relocate : int
        Bytes from one touched page to the next; 0: pages stay where they are.
    """

    map: dict[str, str] = field(default_factory=dict)
    real_clock: bool = False
    accesses: str = ""
    granule: int = 0
    sms: int = 0
    resident: int = 0
    pace: int = 0
    relocate: int = 0

    def used(self) -> list[str]:
        """Name the options that were set."""
        return [name for name in type(self).__dataclass_fields__ if getattr(self, name)]


class Dropped:
    """Refuses what is broken, or counts it.

    Parameters
    ----------
    salvage : bool
        Count, and let the reader go on; without it the first thing broken is the error.

    Attributes
    ----------
    counts : collections.Counter of str
        What was wrong -> how often.
    first : dict of str to str
        What was wrong -> the first such error, whole.
    """

    def __init__(self, salvage: bool = False) -> None:
        self.salvage = salvage
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def refuse(self, what: str, where: str, expected: str = "", found: str = "") -> None:
        """Refuse one thing; the parameters are those of `traces.errors.TraceError`.

        `what` is one of a reader's few sentences: what differs from line to line belongs in `found`.

        Raises
        ------
        TraceError
            Unless things are to be salvaged.
        """
        error = TraceError(what, where, expected, found)
        if not self.salvage:
            raise error
        self.counts[error.what] += 1
        self.first.setdefault(error.what, str(error))

    def lines(self) -> list[str]:
        """Say what was dropped, one line for each thing that was wrong."""
        return [f"{n:,} x {what}; the first: {self.first[what]}" for what, n in self.counts.items()]


@dataclass
class Draft:
    """A manifest in the making.  A reader fills in what it learns; `traces.importers.run` adds the rest.

    Attributes
    ----------
    title, source, device, clock, direction, licence : str
    kind, clock_is_real, invalidation
        As in `traces.manifest.Manifest`.
    tool : str
    tool_version : str
    streams : dict of int to str
        Stream ID -> name; streams that accesses use and this does not name get a plain one.
    spaces : list of str
        Names, by number.
    asids : dict of int to int
        Space -> ASID, where it is known.
    upper : set of int
        Spaces with mappings in the upper half of 49 bits, as an Adreno's.
    granule : int
        Bytes of the smallest pages of every space's tables.
    marks, not_contained, notes : list of str
    kernel, recorded : str or None
        Where the file has them.
    parameters : dict of str to int or str, optional
        What a reader that makes something up was told.
    """

    title: str
    kind: Literal["captured", "derived", "synthetic"]
    source: str
    device: str
    tool: str
    clock: str
    direction: str
    tool_version: str = "(version not in the file)"
    clock_is_real: bool = False
    invalidation: Literal["explicit", "with-unmap"] = "with-unmap"
    licence: str = "not in the file"
    streams: dict[int, str] = field(default_factory=dict)
    spaces: list[str] = field(default_factory=list)
    asids: dict[int, int] = field(default_factory=dict)
    upper: set[int] = field(default_factory=set)
    granule: Literal[4096, 16384, 65536] = 4096
    parameters: dict[str, int | str] | None = None
    marks: list[str] = field(default_factory=list)
    not_contained: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kernel: str | None = None
    recorded: str | None = None
    _space_of: dict[Hashable, int] = field(default_factory=dict)
    _mark_of: dict[str, int] = field(default_factory=dict)

    def space(self, key: Hashable, name: str, asid: int | None = None) -> int:
        """Return the number of the space that the file tells by this key."""
        found = self._space_of.get(key)
        if found is None:
            found = len(self.spaces)
            if found == MOST_SPACES:
                raise TraceError("too many address spaces", name, f"{MOST_SPACES} at most")
            self._space_of[key] = found
            self.spaces.append(name)
            if asid is not None and 0 <= asid <= 0xFFFF:
                self.asids[found] = asid
        return found

    def mark(self, label: str) -> int:
        """Return the number of a label; those beyond `MOST_MARKS` share one."""
        found = self._mark_of.get(label)
        if found is None:
            if len(self.marks) >= MOST_MARKS:
                label = _OTHER
                if label in self._mark_of:
                    return self._mark_of[label]
            found = self._mark_of[label] = len(self.marks)
            self.marks.append(label)
        return found

    def manifest_spaces(self) -> list[Space]:
        """Return the spaces as the manifest has them."""
        return [
            Space(
                space=number,
                name=name,
                asid=self.asids.get(number),
                granule=self.granule,
                ttbr1=Upper(ias=48, granule=self.granule) if number in self.upper else None,
                sep=48 if number in self.upper else None,
            )
            for number, name in enumerate(self.spaces)
        ]


def as_granule(asked: int) -> Literal[4096, 16384, 65536]:
    """Return a granule as the manifest has it; 0 asks for the usual one.

    Raises
    ------
    TraceError
        No granule of AArch64's.
    """
    for granule in GRANULES:
        if asked in (granule, 0):
            return granule
    raise TraceError("a bad granule", "--granule", "4K, 16K or 64K", str(asked))


def table_problem(iova: int, size: int, pa: int = 0, granule: int = 4096) -> tuple[str, str] | None:
    """Say what keeps a range from being mapped with a granule and 48 bits, or an Adreno's 49.

    Returns
    -------
    (str, str) or None
        What was expected, and what was found; None where nothing is wrong.

    Examples
    --------
    >>> table_problem(0x1000, 0x2000, 0x8000) is None
    True
    >>> table_problem(0x1000, 0x800)
    ('a size of whole 4 KiB pages', '0x800')
    """
    mask, page = granule - 1, f"{granule >> 10} KiB"
    if size <= 0 or size & mask:
        return f"a size of whole {page} pages", f"{size:#x}"
    if iova & mask:
        return f"an iova at the start of a {page} page", f"{iova:#x}"
    if pa & mask or pa + size > 1 << 52:
        return f"an output address at the start of a {page} page, below 52 bits", f"{pa:#x}"
    if iova >> 48 not in (0, 1, 0xFFFF) or (iova + size - 1) >> 48 != iova >> 48:
        return "a range in one half of 48 bits", f"{size:#x} bytes at {iova:#x}"
    return None
