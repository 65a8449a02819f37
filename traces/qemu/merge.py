"""Puts the guest's events and QEMU's rows into one order.

The two clocks agree to within a fraction of a millisecond at best, and a MAP that seemed to come after
an access that used it would make a fault that never was.  So the guest's events are placed by their
clock first, and then moved, by the least amount, to where what QEMU saw allows them to be.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from traces.errors import TraceError
from traces.events import MAP, UNMAP
from traces.qemu.guest_log import GuestEvent
from traces.qemu.tables import NEVER, Leaf, Tables, build, find_spaces, mark_uses, pair_invalidations


@dataclass
class Merged:
    """One order of both records.

    Attributes
    ----------
    order : list of (int, int)
        Time in microseconds of the host's clock, and which: row r of the log as r, the guest's event g
        as -1 - g.
    asids : list of int
        By space.
    space_of_tables : dict of int to int
    tables : Tables
    used : list of (Leaf or None)
        By row of the log: the entry that the access used.
    offset_us : int
        Host time minus guest time.
    spread_us : int
        1st to 99th percentile of (invalidation - UNMAP).
    unmaps, paired : int
        UNMAPs of known spaces, and those paired with their invalidation.
    unexplained : int
        Accesses that no entry explains.
    foreign : int
        MAPs and UNMAPs of page tables that no access went through, left out.
    moves : dict of str to list of int
        By op name: how far each moved event was moved, microseconds.
    """

    order: list[tuple[int, int]] = field(default_factory=list)
    asids: list[int] = field(default_factory=list)
    space_of_tables: dict[int, int] = field(default_factory=dict)
    tables: Tables = field(default_factory=Tables)
    used: list[Leaf | None] = field(default_factory=list)
    offset_us: int = 0
    spread_us: int = 0
    unmaps: int = 0
    paired: int = 0
    unexplained: int = 0
    foreign: int = 0
    moves: dict[str, list[int]] = field(default_factory=lambda: {"MAP": [], "UNMAP": []})


def merge(events: list[GuestEvent], rows: np.ndarray) -> Merged:
    """Order both records.

    Parameters
    ----------
    events : list of GuestEvent
    rows : numpy.ndarray
        1-D, dtype `traces.qemu.qemu_log.ROW`.

    Returns
    -------
    Merged

    Raises
    ------
    TraceError
        The page tables' ASIDs cannot be told, or no UNMAP has an invalidation to set the clocks by.
    """
    asid_of = find_spaces(events, rows)
    out = Merged(asids=sorted(asid_of.values()))
    space_of_asid = {asid: space for space, asid in enumerate(out.asids)}
    out.space_of_tables = {tables: space_of_asid[asid] for tables, asid in asid_of.items()}

    rough = _delays(events, rows, pair_invalidations(events, rows, asid_of, None))
    near = np.abs(rough - np.median(rough)) < 50_000
    # An invalidation follows its UNMAP: the shortest delays are nearest to the clocks' true distance.
    out.offset_us = int(np.percentile(rough[near], 1))
    pairs = pair_invalidations(events, rows, asid_of, out.offset_us)
    delays = _delays(events, rows, pairs)
    out.spread_us = int(np.percentile(delays, 99) - np.percentile(delays, 1))
    out.paired = len(pairs)
    out.unmaps = sum(event.op == UNMAP and event.tables in asid_of for event in events)

    out.tables = build(events, out.space_of_tables)
    for position, row in pairs:
        for leaf in out.tables.by_event[position]:
            leaf.invalidated = row
    out.used, out.unexplained = mark_uses(out.tables, rows, space_of_asid)
    _place(out, events, rows)
    return out


def _delays(events: list[GuestEvent], rows: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    if not pairs:
        raise TraceError(
            "no UNMAP has its invalidation", "the captured logs", "at least one pair to set the clocks"
        )
    return np.array([int(rows["t_us"][row]) - events[position].t_us for position, row in pairs])


def _place(out: Merged, events: list[GuestEvent], rows: np.ndarray) -> None:
    """Place each guest event before some row of the log: `gap` r is the place just before row r."""
    times = rows["t_us"]
    begins = (np.searchsorted(times, [event.t_us + out.offset_us for event in events])).tolist()
    t_list = times.tolist()
    gap_of_map: dict[int, int] = {}
    previous: dict[tuple[int, int, int], Leaf] = {}
    keyed: list[tuple[int, int, int, int]] = []  # gap, log row or guest event, position, time
    for position, event in enumerate(events):
        known = event.tables in out.space_of_tables
        if event.op in (MAP, UNMAP) and not known:
            out.foreign += 1
            continue
        low, high = 0, rows.size
        leaves = out.tables.by_event.get(position, ())
        if event.op == MAP:
            for leaf in leaves:
                key = (leaf.space, leaf.size, leaf.iova)
                before = previous.get(key)
                if before is not None and before.invalidated != NEVER:
                    low = max(low, before.invalidated + 1)
                low = max(low, leaf.fault_before + 1)
                high = min(high, leaf.first_use, leaf.invalidated)
                previous[key] = leaf
        elif event.op == UNMAP:
            for leaf in leaves:
                low = max(low, leaf.last_use + 1, gap_of_map[leaf.made])
                high = min(high, leaf.invalidated, leaf.fault_after)
        gap = max(min(begins[position], high), low)
        wanted = event.t_us + out.offset_us
        time = max(wanted, t_list[gap - 1]) if gap else wanted
        time = min(time, t_list[gap]) if gap < rows.size else time
        if time != wanted and event.op in (MAP, UNMAP):
            out.moves["MAP" if event.op == MAP else "UNMAP"].append(abs(time - wanted))
        if event.op == MAP:
            gap_of_map[position] = gap
        keyed.append((gap, 0, position, time))
    keyed += [(row, 1, row, time) for row, time in enumerate(t_list)]
    keyed.sort()
    # Within a gap the guest's own order decides; a moved event may then pull its followers along.
    now = -NEVER
    for _, is_row, index, time in keyed:
        now = max(now, time)
        out.order.append((now, index if is_row else -1 - index))
