"""A trace's events, as the model wants them: paced, numbered by requester, a block at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.readonly import protect
from bench.summary import Summary, summarise
from bench.vanish import Vanish, vanish
from bench.wild import Wild, own_accesses, stray
from smmucore.sim import Events
from traces.events import ABRUPT, EXEC, MARK, TLBI, TLBI_VA, UNMAP

if TYPE_CHECKING:
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
        return summarise(self.blocks(), [space.ias for space in self.trace.manifest.spaces])

    @cached_property
    def _kept(self) -> list[Any]:
        return list(self.trace.blocks())

    def blocks(self) -> Iterable[Any]:
        """Stream the EVENT arrays."""
        return self._kept if self.trace.rows <= KEEP_ROWS else self.trace.blocks()


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
    keys = np.array([stream << 16 | space for stream, space in recipe.requesters], np.int64)
    order = np.argsort(keys, kind="stable")
    of_space: dict[int, int] = {}
    for number, (_, its) in enumerate(recipe.requesters):
        of_space.setdefault(its, number)
    anyone = np.zeros(max(of_space, default=0) + 1, np.int64)
    for number in of_space.values():
        anyone[recipe.requesters[number][1]] = number
    t: Any
    space: Any
    accesses: Any = 0
    for block, rows in parts(source, recipe):
        access = block["op"] <= EXEC
        space = np.where(block["op"] == MARK, recipe.requesters[0][1], block["space"])
        key = block["stream"].astype(np.int64) << 16 | space
        at = np.minimum(np.searchsorted(keys, key, sorter=order), keys.size - 1)
        if recipe.pace is None:
            t = block["t_ns"].astype(np.int64)
        else:
            # Strays do not stretch the trace: each has the time of the access it follows.
            own = own_accesses(block, rows) if recipe.wild else access
            t = (np.cumsum(own) - access + accesses) * recipe.pace
            accesses += int(np.count_nonzero(own))
        yield Events(
            t=t,
            op=np.ascontiguousarray(block["op"]),
            requester=np.where(access, order[at], anyone[np.minimum(space, anyone.size - 1)]),
            iova=np.ascontiguousarray(block["iova"]),
            size=np.ascontiguousarray(block["size"]),
            pa=np.ascontiguousarray(block["pa"]),
            prot=block["prot"].astype(np.int64),
        )


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
