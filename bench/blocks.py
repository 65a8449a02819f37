"""A trace's events, as the model wants them: paced, numbered by requester, a block at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.readonly import protect
from bench.summary import FIELDS, Summary, summarise
from bench.vanish import Vanish, vanish
from bench.wild import Wild, own_accesses, stray
from smmucore.sim import Events
from traces.events import ABRUPT, EVENT, EXEC, MARK, TLBI, TLBI_VA, UNMAP

if TYPE_CHECKING:
    from traces.columns import Columns
    from traces.reader import Trace

#: Traces of at most so many events are kept in memory, decoded (41 bytes each).
KEEP_ROWS = 1 << 20


@dataclass(frozen=True)
class Source:
    """A trace to replay: its file, read again for each run unless it is small."""

    trace: Trace

    @cached_property
    def summary(self) -> Summary:
        """What a first pass over the trace finds."""
        ias = [space.ias for space in self.trace.manifest.spaces]
        return summarise(self.blocks() if self.kept else self.trace.columns(FIELDS), ias)

    @property
    def kept(self) -> bool:
        """Whether the trace is small enough to be kept in memory."""
        return self.trace.rows <= KEEP_ROWS

    @cached_property
    def _kept(self) -> list[Any]:
        return list(self.trace.blocks())

    def blocks(self) -> Iterable[Any]:
        """Stream the EVENT arrays."""
        return self._kept if self.kept else self.trace.blocks()


@dataclass(frozen=True)
class Recipe:
    """How events of a trace become events of a run.

    Attributes
    ----------
    requesters : tuple of (stream, space)
        In the order of the run's requesters.
    pace : int or None
        ns from one access to the next; None: the captured time.
    with_unmap : bool
        An UNMAP invalidates its own range (the manifest's `invalidation`).
    gone : tuple of Vanish
        Buffers that vanish.
    protected : tuple of Vanish
        Buffers that lose their write right.
    wild : tuple of Wild
        Stray accesses.
    """

    requesters: tuple[tuple[int, int], ...]
    pace: int | None
    with_unmap: bool = False
    gone: Sequence[Vanish] = ()
    protected: Sequence[Vanish] = ()
    wild: Sequence[Wild] = ()

    @property
    def changes_nothing(self) -> bool:
        """Whether the run has the trace's own events, perhaps with the TLBIs of its UNMAPs."""
        return not (self.gone or self.protected or self.wild)


def parts(source: Source, recipe: Recipe) -> Iterator[tuple[Any, Any]]:
    """Stream the events of a run as EVENT arrays, each with its events' numbers in the trace."""
    stream: Iterator[tuple[Any, Any]] = _numbered(source.blocks())
    for gone in recipe.gone:
        stream = vanish(stream, gone)
    for gone in recipe.protected:
        stream = protect(stream, gone)
    for wild in recipe.wild:
        stream = stray(stream, wild)
    if recipe.with_unmap:
        stream = _with_invalidations(stream)
    return stream


def events(source: Source, recipe: Recipe) -> Iterator[Events]:
    """Stream the events of a run, ready for `smmucore.simulate.simulate`."""
    maker = _Maker(recipe)
    if recipe.changes_nothing and not source.kept:
        for columns in source.trace.columns(of_tables=("pa",)):
            if columns.only_accesses:
                yield maker.accesses(columns)
                continue
            stream: Iterator[tuple[Any, Any]] = iter([(columns.events(), np.arange(columns.rows))])
            for block, rows in _with_invalidations(stream) if recipe.with_unmap else stream:
                yield maker.make(block, rows)
        return
    for block, rows in parts(source, recipe):
        yield maker.make(block, rows)


class _Maker:
    """Makes a run's events of a trace's, a block after the other."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.keys = np.array([stream << 16 | space for stream, space in recipe.requesters], np.int64)
        self.order = np.argsort(self.keys, kind="stable")
        of_space: dict[int, int] = {}
        for number, (_, its) in enumerate(recipe.requesters):
            of_space.setdefault(its, number)
        self.anyone = np.zeros(max(of_space, default=0) + 1, np.int64)
        for number in of_space.values():
            self.anyone[recipe.requesters[number][1]] = number
        self.paced: Any = 0
        self._full: dict[tuple[str, int], Any] = {}

    def make(self, block: Any, rows: Any) -> Events:
        """Make events of any kind."""
        recipe = self.recipe
        access = block["op"] <= EXEC
        space: Any = np.where(block["op"] == MARK, recipe.requesters[0][1], block["space"])
        at = self._requesters(block["stream"], space)
        t: Any
        if recipe.pace is None:
            t = block["t_ns"].astype(np.int64)
        else:
            # Strays do not stretch the trace: each has the time of the access it follows.
            own = own_accesses(block, rows) if recipe.wild else access
            t = (np.cumsum(own) - access + self.paced) * recipe.pace
            self.paced += int(np.count_nonzero(own))
        return Events(
            t=t,
            op=np.ascontiguousarray(block["op"]),
            requester=np.where(access, at, self.anyone[np.minimum(space, self.anyone.size - 1)]),
            iova=np.ascontiguousarray(block["iova"]),
            size=np.ascontiguousarray(block["size"]),
            pa=np.ascontiguousarray(block["pa"]),
            prot=block["prot"].astype(np.int64),
        )

    def accesses(self, columns: Columns) -> Events:
        """Make events of accesses alone, of which most fields are often alike."""
        n = columns.rows
        if {"stream", "space"} <= columns.same.keys():
            key = np.array([columns.same["stream"]], np.uint16), np.array([columns.same["space"]], np.uint16)
            requester = self._alike("requester", np.uint16, int(self._requesters(*key)[0]), n)
        else:
            requester = self._requesters(columns.array("stream"), columns.array("space"))
        if self.recipe.pace is None:
            t = columns.array("t_ns").view(np.int64)
        else:
            t = np.arange(self.paced, self.paced + n, dtype=np.int64) * self.recipe.pace
            self.paced += n
        return Events(
            t=t,
            requester=requester,
            **{name: self._alike(name, EVENT[name], columns.same[name], n)
               if name in columns.same else columns.array(name)
               for name in ("op", "iova", "size", "pa", "prot")},
        )  # fmt: skip

    def _requesters(self, stream: Any, space: Any) -> Any:
        key = stream.astype(np.int64) << 16 | space
        at = np.minimum(np.searchsorted(self.keys, key, sorter=self.order), self.keys.size - 1)
        return self.order[at]

    def _alike(self, name: str, dtype: Any, value: int, n: int) -> Any:
        """Return an array of one value; a replay only reads it, so that it serves block after block."""
        found = self._full.get((name, n))
        if found is None or found[0] != value:
            self._full = {key: held for key, held in self._full.items() if key[1] == n}
            found = self._full[name, n] = np.full(n, value, dtype)
        return found


def bytes_of(made: Events) -> int:
    """Return how much memory a run's events take."""
    return sum(int(getattr(made, name).nbytes) for name in made.fields)


def duration_ns(summary: Summary, pace: int | None) -> int:
    """Return the intended time of the last event of the paced trace."""
    return summary.last_ns if pace is None else summary.accesses * pace


def row_of(source: Source, recipe: Recipe, index: int) -> int:
    """Return the number in the trace of the event that is number `index` of the run."""
    for _, rows in parts(source, recipe):
        if index < rows.size:
            return int(rows[index])
        index -= rows.size
    return source.trace.rows


def _numbered(blocks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    row = 0
    for block in blocks:
        yield block, np.arange(row, row + block.size)
        row += block.size


def _with_invalidations(stream: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Put a TLBI of its range behind every UNMAP; it waits for the device if the UNMAP does."""
    for block, rows in stream:
        # A vanishing buffer brings its own abrupt TLBI; a second one changes nothing.
        unmap = block["op"] == UNMAP
        times = 1 + unmap
        more, more_rows = np.repeat(block, times), np.repeat(rows, times)
        second = (np.cumsum(times) - 1)[unmap]
        more["op"][second] = TLBI
        more["prot"][second] = (more["prot"][second] & np.uint16(ABRUPT)) | np.uint16(TLBI_VA)
        yield more, more_rows
