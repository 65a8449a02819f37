"""Where and when a trace touches memory: the numbers behind `bench.trace_picture`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.errors import UsageError
from bench.reach import SPACE_SHIFT, Column, reach
from traces.events import EXEC
from traces.reader import Trace

#: Cells of the map.
ROWS, COLUMNS = 240, 480

#: Distinct pages that are told apart; where there are more, two neighbours count as one, and so on.
MOST_PAGES = 1 << 18

Told = Callable[[int, int], None] | None

_LOW = np.uint64((1 << 52) - 1)
#: Pages that lie further apart belong to two regions, bytes.
_GAP = 1 << 20


@dataclass(frozen=True)
class Region:
    """Touched pages that lie close together: their first row, how many rows, and their first address."""

    row: float
    rows: float
    space: int
    iova: int


@dataclass(frozen=True)
class TraceMap:
    """What a picture of a trace shows.

    Attributes
    ----------
    trace : Trace
    page_bits : int
        Log2 of the pages of map and footprint.
    heat : int64 (rows, COLUMNS)
        Accesses by touched page, in the order of their addresses, and time.
    column_ns : int
        The time of a column.
    touched, fresh : int64 (COLUMNS,)
        Distinct pages of each column; those that were never touched before it.
    regions : list of Region
    reuse : Column
        Reuse distances in pages of 4K.
    """

    trace: Trace
    page_bits: int
    heat: Any
    column_ns: int
    touched: Any
    fresh: Any
    regions: list[Region]
    reuse: Column


def trace_map(trace: Trace, progress: Told = None) -> TraceMap:
    """Work out a trace's map in three passes over it.

    Raises
    ------
    UsageError
        It has no accesses, or too many spaces.
    TraceError
    """

    def told(passes: int) -> Told:
        if progress is None:
            return None
        return lambda done, rows: progress(passes * rows + done, 3 * rows)

    reuse = reach(trace, ("4K",), progress=told(0)).columns[0]
    pages, bits, first_ns, last_ns = _pages(trace, told(1))
    if not pages.size:
        raise UsageError("nothing to draw", trace.path, "a trace with accesses", "none")
    width = (last_ns - first_ns) // COLUMNS + 1
    heat, touched, fresh = _count(trace, pages, bits, first_ns, width, told(2))
    return TraceMap(trace, bits, heat, width, touched, fresh, _regions(pages, bits, heat.shape[0]), reuse)


def _keys(accesses: Any, bits: int) -> Any:
    return accesses["space"].astype(np.uint64) << SPACE_SHIFT | accesses["iova"] >> np.uint64(bits)


def _pages(trace: Trace, progress: Told) -> tuple[Any, int, int, int]:
    """Return the touched pages in order, log2 of their size, and the times of first and last access."""
    pages = np.empty(0, np.uint64)
    bits, done = 12, 0
    first_ns = last_ns = -1
    for block in trace.blocks():
        accesses = block[block["op"] <= EXEC]
        if accesses.size:
            first_ns = int(accesses["t_ns"][0]) if first_ns < 0 else first_ns
            last_ns = int(accesses["t_ns"][-1])
            used = np.unique(_keys(accesses, bits))
            at = np.minimum(np.searchsorted(pages, used), max(pages.size - 1, 0))
            new = used[pages[at] != used] if pages.size else used
            if new.size:
                pages = np.sort(np.concatenate([pages, new]))
            while pages.size > MOST_PAGES:
                bits += 1
                pages = np.unique((pages & ~_LOW) | (pages & _LOW) >> np.uint64(1))
        done += block.size
        if progress is not None:
            progress(done, trace.rows)
    return pages, bits, first_ns, last_ns


def _count(
    trace: Trace,
    pages: Any,
    bits: int,
    first_ns: int,
    width: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[Any, Any, Any]:
    """Count accesses by row and column, and distinct pages by column."""
    n = pages.size
    rows = min(n, ROWS)
    heat = np.zeros(rows * COLUMNS, np.int64)
    touched, fresh = np.zeros(COLUMNS, np.int64), np.zeros(COLUMNS, np.int64)
    ever, stamp = np.zeros(n, bool), np.full(n, -1, np.int64)
    done = 0
    for block in trace.blocks():
        accesses = block[block["op"] <= EXEC]
        if accesses.size:
            rank = np.searchsorted(pages, _keys(accesses, bits))
            column = ((accesses["t_ns"] - np.uint64(first_ns)) // np.uint64(width)).astype(np.int64)
            heat += np.bincount(rank * rows // n * COLUMNS + column, minlength=heat.size)
            # Each page once a column; of the first one, the block before may have had some.
            when, which = np.divmod(np.unique(column * n + rank), n)
            new = (when != when[0]) | (stamp[which] != when[0])
            touched += np.bincount(when[new], minlength=COLUMNS)
            stamp[which[when == when[-1]]] = when[-1]
            mine, at = np.unique(which, return_index=True)
            fresh += np.bincount(when[at[~ever[mine]]], minlength=COLUMNS)
            ever[mine] = True
        done += block.size
        if progress is not None:
            progress(done, trace.rows)
    return heat.reshape(rows, COLUMNS), touched, fresh


def _regions(pages: Any, bits: int, rows: int) -> list[Region]:
    far = np.uint64(max(_GAP >> bits, 1))
    begins = np.flatnonzero(np.r_[True, pages[1:] - pages[:-1] > far])
    ends = np.r_[begins[1:], pages.size]
    scale = rows / pages.size
    return [
        Region(begin * scale, (end - begin) * scale, int(pages[begin] >> SPACE_SHIFT),
               int(pages[begin] & _LOW) << bits)
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    ]  # fmt: skip
