"""The guest's page tables, entry by entry: when each was made, removed and invalidated.

An entry (a leaf) lives from the MAP that makes it to the UNMAP that removes it; the TLB invalidation
that belongs to the UNMAP ends every use of it.  With strict invalidation, which a capture runs with, the
driver reuses an IOVA only after that, so between two invalidations of a page there is at most one entry
that an access of the page can have used.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from traces.errors import TraceError
from traces.events import MAP, TLBI_ASID, UNMAP
from traces.qemu.guest_log import GuestEvent
from traces.qemu.qemu_log import ACCESS, FAULT, INVALIDATE

#: Sizes of an entry with a 4 KiB granule.
LEAVES = (1 << 12, 1 << 21, 1 << 30)

#: "After every row of the log".
NEVER = 1 << 62

#: How far an invalidation may seem to come before its UNMAP, microseconds (the clocks' disagreement).
_SLACK_US = 2_000


@dataclass
class Leaf:
    """One table entry's life.

    Attributes
    ----------
    space : int
    iova, pa, size, prot : int
    made, removed : int
        Positions of its MAP and UNMAP among the guest's events; `removed` -1: never.
    invalidated : int
        Row of the log that invalidates it; `NEVER` if none does.
    first_use, last_use : int
        Rows of the first and last access that used it; `NEVER` and -1: none.
    fault_before, fault_after : int
        Rows of the last fault that came before the entry was made, and the first that came after it
        was removed but before its invalidation; -1 and `NEVER`: none.
    """

    space: int
    iova: int
    pa: int
    size: int
    prot: int
    made: int
    removed: int = -1
    invalidated: int = NEVER
    first_use: int = NEVER
    last_use: int = -1
    fault_before: int = -1
    fault_after: int = NEVER


@dataclass
class Tables:
    """Every entry that the guest made.

    Attributes
    ----------
    leaves : list of Leaf
        In the order they were made.
    history : dict
        (space, entry size, iova) -> its leaves, in order.
    by_event : dict of int to list of Leaf
        The leaves that a guest event (by position) made or removed.
    remade : int
        MAPs of an entry that was there already.
    """

    leaves: list[Leaf] = field(default_factory=list)
    history: dict[tuple[int, int, int], list[Leaf]] = field(default_factory=lambda: defaultdict(list))
    by_event: dict[int, list[Leaf]] = field(default_factory=lambda: defaultdict(list))
    remade: int = 0

    def at(self, space: int, iova: int, row: int, pa: int | None) -> Leaf | None:
        """Find the entry that an access at this row of the log uses or, with no `pa`, could have used.

        Returns
        -------
        Leaf or None
        """
        for size in LEAVES:
            for leaf in self.history.get((space, size, iova & -size), ()):
                if leaf.invalidated > row:
                    if pa is None or leaf.pa + iova - leaf.iova == pa:
                        return leaf
                    break
        return None


def build(events: list[GuestEvent], space_of: dict[int, int]) -> Tables:
    """Follow the MAPs and UNMAPs.

    Parameters
    ----------
    events : list of GuestEvent
    space_of : dict of int to int
        Page tables (the kernel's address) -> space; events of others are passed over.

    Returns
    -------
    Tables
    """
    tables = Tables()
    live: dict[tuple[int, int], dict[int, Leaf]] = defaultdict(dict)
    for position, event in enumerate(events):
        space = space_of.get(event.tables)
        if space is None:
            continue
        if event.op == MAP:
            for offset in range(0, event.size, event.leaf):
                iova = event.iova + offset
                leaf = Leaf(space, iova, event.pa + offset, event.leaf, event.prot, position)
                tables.remade += iova in live[space, event.leaf]
                live[space, event.leaf][iova] = leaf
                tables.leaves.append(leaf)
                tables.history[space, event.leaf, iova].append(leaf)
                tables.by_event[position].append(leaf)
        elif event.op == UNMAP:
            for size in LEAVES:
                entries = live[space, size]
                inside = range(event.iova & -size, event.iova + event.size, size)
                # A large UNMAP of few entries is quicker the other way round.
                gone = inside if len(inside) < len(entries) else [iova for iova in entries if iova in inside]
                for iova in gone:
                    if (removed := entries.pop(iova, None)) is not None:
                        removed.removed = position
                        tables.by_event[position].append(removed)
    return tables


def find_spaces(events: list[GuestEvent], rows: np.ndarray) -> dict[int, int]:
    """Find the ASID of each set of page tables, by the translations that its entries explain.

    Parameters
    ----------
    events : list of GuestEvent
    rows : numpy.ndarray
        1-D, dtype `traces.qemu.qemu_log.ROW`.

    Returns
    -------
    dict of int to int
        Page tables (the kernel's address) -> ASID, for tables that some access went through.

    Raises
    ------
    TraceError
        An ASID whose accesses no set of tables explains, or two sets for one ASID.
    """
    makers: dict[tuple[int, int, int], set[int]] = defaultdict(set)
    for event in events:
        if event.op == MAP:
            for offset in range(0, event.size, event.leaf):
                makers[event.leaf, event.iova + offset, event.pa + offset].add(event.tables)
    accesses = rows[rows["kind"] == ACCESS]
    pages = np.unique(
        np.stack(
            [
                accesses["asid"].astype("u8"),
                accesses["iova"] >> np.uint64(12),
                accesses["pa"] >> np.uint64(12),
            ]
        ),
        axis=1,
    )
    votes: dict[int, Counter[int]] = defaultdict(Counter)
    for asid, iova_page, pa_page in pages.T.tolist():
        for leaf in LEAVES:
            iova, pa = (iova_page << 12) & -leaf, (pa_page << 12) & -leaf
            votes[asid].update(makers.get((leaf, iova, pa), ()))
    found: dict[int, int] = {}
    for asid, counter in sorted(votes.items()):
        if not counter:
            raise TraceError("accesses that no mapping explains", f"ASID {asid}", "the guest's MAP events")
        tables = counter.most_common(1)[0][0]
        if tables in found:
            raise TraceError("one set of page tables for two ASIDs", f"ASIDs {found[tables]} and {asid}")
        found[tables] = asid
    return found


def pair_invalidations(
    events: list[GuestEvent], rows: np.ndarray, asid_of: dict[int, int], offset_us: int | None
) -> list[tuple[int, int]]:
    """Pair each UNMAP with the TLB invalidation that the driver sent for it.

    Parameters
    ----------
    events : list of GuestEvent
    rows : numpy.ndarray
        1-D, dtype `traces.qemu.qemu_log.ROW`.
    asid_of : dict of int to int
        Page tables -> ASID.
    offset_us : int or None
        Host time minus guest time, where it is known already.

    Returns
    -------
    list of (int, int)
        Position among the guest's events, row of the log; in the guest's order.
    """
    waiting: dict[int, list[list[int]]] = defaultdict(list)
    for row in np.flatnonzero((rows["kind"] == INVALIDATE) & (rows["detail"] < TLBI_ASID)).tolist():
        iova, size = int(rows["iova"][row]), int(rows["size"][row])
        waiting[int(rows["asid"][row])].append([row, iova, iova + size, size])
    times = rows["t_us"].tolist()
    begin = dict.fromkeys(waiting, 0)
    pairs = []
    for position, event in enumerate(events):
        asid = asid_of.get(event.tables)
        if event.op != UNMAP or asid not in waiting:
            continue
        commands = waiting[asid]
        earliest = -NEVER if offset_us is None else event.t_us + offset_us - _SLACK_US
        while begin[asid] < len(commands) and (
            commands[begin[asid]][3] <= 0 or times[commands[begin[asid]][0]] < earliest
        ):
            begin[asid] += 1
        # CPUs send commands in turns: the match is near the first one that is left, not always it.
        for command in commands[begin[asid] : begin[asid] + 256]:
            if command[1] <= event.iova < command[2] and command[3] > 0:
                command[3] -= event.size
                pairs.append((position, command[0]))
                break
    return pairs


def mark_uses(
    tables: Tables, rows: np.ndarray, space_of_asid: dict[int, int]
) -> tuple[list[Leaf | None], int]:
    """Note in each leaf which rows used it.

    Parameters
    ----------
    tables : Tables
    rows : numpy.ndarray
        1-D, dtype `traces.qemu.qemu_log.ROW`.
    space_of_asid : dict of int to int

    Returns
    -------
    list of (Leaf or None)
        By row: the leaf that an access used.
    int
        Accesses that no leaf explains.
    """
    used: list[Leaf | None] = [None] * rows.size
    unexplained = 0
    columns = (rows[name].tolist() for name in ("kind", "asid", "iova", "pa"))
    for row, (kind, asid, iova, pa) in enumerate(zip(*columns, strict=True)):
        if kind == INVALIDATE:
            continue
        leaf = tables.at(space_of_asid.get(asid, -1), iova, row, pa if kind == ACCESS else None)
        if kind == FAULT:
            if leaf is not None and leaf.last_use >= 0:
                leaf.fault_after = min(leaf.fault_after, row)
            elif leaf is not None:
                leaf.fault_before = row
        elif leaf is None:
            unexplained += 1
        else:
            used[row] = leaf
            leaf.first_use = min(leaf.first_use, row)
            leaf.last_use = row
    return used, unexplained
