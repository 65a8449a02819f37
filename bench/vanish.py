"""Scenario `unmap`: which buffer vanishes, and the trace without it from there on."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.errors import ScenarioError
from bench.scenario import BUSIEST, RANDOM
from traces.events import ABRUPT, EVENT, EXEC, MAP, PROT_READ, PROT_WRITE, TLBI, TLBI_VA, UNMAP, WRITE

_OF_MAP = ("op", "space", "iova", "size", "pa", "prot")


@dataclass(frozen=True)
class Vanish:
    """The range of one MAP event (number `number`), gone just before access number `access`.

    `pa` and `prot` are the event's.
    """

    access: int
    space: int
    iova: int
    size: int
    number: int = 0
    pa: int = 0
    prot: int = 0

    def overlaps(self, block: Any) -> Any:
        """Tell which events' ranges touch this one."""
        end = block["iova"] + block["size"]
        mine = (block["iova"] < np.uint64(self.iova + self.size)) & (end > np.uint64(self.iova))
        return mine & (block["space"] == self.space)

    def holds(self, block: Any) -> Any:
        """Tell which events' ranges lie inside this one."""
        inside = (block["iova"] >= np.uint64(self.iova)) & (block["space"] == self.space)
        return inside & (block["iova"] + block["size"] <= np.uint64(self.iova + self.size))


class _Live:
    """The MAP events of one space that are wholly alive, by their first IOVA."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        #: Size, number, output address and rights.
        self.maps: dict[int, tuple[int, int, int, int]] = {}

    def map(self, iova: int, size: int, number: int, pa: int, prot: int) -> None:
        if iova not in self.maps:
            insort(self.starts, iova)
        self.maps[iova] = (size, number, pa, prot)

    def unmap(self, iova: int, size: int) -> None:
        low = bisect_left(self.starts, iova)
        if low and self.starts[low - 1] + self.maps[self.starts[low - 1]][0] > iova:
            low -= 1
        high = bisect_left(self.starts, iova + size)
        for start in self.starts[low:high]:
            del self.maps[start]
        del self.starts[low:high]


def alive_at(blocks: Iterable[Any], access: int) -> tuple[list[Vanish], Iterator[Any]]:
    """Follow MAPs and UNMAPs up to access number `access`.

    Returns
    -------
    list of Vanish
        The MAPs wholly alive there, by space and IOVA.
    iterator of EVENT arrays
        The events from there on.
    """
    spaces: dict[int, _Live] = {}
    seen = number = 0
    source = iter(blocks)
    rest: list[Any] = []
    for block in source:
        before = np.cumsum(block["op"] <= EXEC) + seen
        cut = int(np.searchsorted(before, access, side="right"))
        head = block[:cut]
        control = head[(head["op"] == MAP) | (head["op"] == UNMAP)]
        for op, space, iova, size, pa, prot in control[list(_OF_MAP)].tolist():
            live = spaces.setdefault(space, _Live())
            if op == UNMAP:
                live.unmap(iova, size)
                continue
            # A mapping without a right maps nothing.
            if prot & (PROT_READ | PROT_WRITE):
                live.map(iova, size, number, pa, prot)
            number += 1
        seen = int(before[-1])
        if cut < block.size:
            rest.append(block[cut:])
            break
    found = [
        Vanish(access, space, start, *live.maps[start])
        for space, live in sorted(spaces.items())
        for start in live.starts
    ]
    return found, _chain(rest, source)


def _chain(first: list[Any], rest: Iterator[Any]) -> Iterator[Any]:
    yield from first
    yield from rest


def still_to_come(candidates: list[Vanish], rest: Iterable[Any], only: int | None = None) -> list[int]:
    """Count the accesses (of `only` this kind) of each candidate before the trace itself unmaps any of it."""
    counts = np.zeros(len(candidates), np.int64)
    alive = np.ones(len(candidates), bool)
    space = np.array([c.space for c in candidates], np.int64)
    start = np.array([c.iova for c in candidates], np.uint64)
    size = np.array([c.size for c in candidates], np.uint64)
    for block in rest:
        death = np.where(alive, block.size, 0)
        for one in np.unique(block["space"]).tolist():
            mine = np.flatnonzero(space == one)  # sorted by IOVA, and disjoint
            if not mine.size:
                continue
            ends = start[mine] + size[mine]
            for row in np.flatnonzero((block["op"] == UNMAP) & (block["space"] == one)):
                low = int(np.searchsorted(ends, block["iova"][row], side="right"))
                high = int(np.searchsorted(start[mine], block["iova"][row] + block["size"][row], side="left"))
                death[mine[low:high]] = np.minimum(death[mine[low:high]], row)
            counted = block["op"] <= EXEC if only is None else block["op"] == only
            rows = np.flatnonzero(counted & (block["space"] == one))
            at = np.searchsorted(start[mine], block["iova"][rows], side="right") - 1
            inside = (at >= 0) & (block["iova"][rows] < ends[at]) & (rows < death[mine[at]])
            np.add.at(counts, mine[at[inside]], 1)
        alive &= death == block.size
        if not alive.any():
            break
    return [int(n) for n in counts]


@dataclass(frozen=True)
class Wanted:
    """Which buffers a scenario may take; `verb` and `used` say it in errors.

    Accesses of the kind `only` count (None: all), MAPs need the rights `prot`, and those numbered in `but`
    are taken already.
    """

    verb: str
    used: str
    only: int | None = None
    prot: int = 0
    but: frozenset[int] = frozenset()


TO_UNMAP = Wanted("unmap", "used")
TO_PROTECT = Wanted("make read-only", "written", WRITE, PROT_WRITE)


def choose(
    blocks: Iterable[Any], access: int, buffer: int, seed: int, where: str, wanted: Wanted = TO_UNMAP
) -> Vanish:
    """Choose the MAP event that vanishes just before access number `access`.

    Parameters
    ----------
    blocks : iterable of EVENT arrays
    access : int
    buffer : int
        BUSIEST, RANDOM or the number of a MAP event.
    seed : int
        Chooses among all that are still used, where `buffer` is RANDOM.
    where : str
        Named in errors.
    wanted : Wanted
        Only MAPs with its rights are taken, and its accesses alone count.
    """
    found, rest = alive_at(blocks, access)
    candidates = [c for c in found if c.prot & wanted.prot == wanted.prot and c.number not in wanted.but]
    if buffer >= 0:
        for candidate in candidates:
            if candidate.number == buffer:
                return candidate
        others = f"{len(candidates)} others" if candidates else "none at all"
        right = " with the right to write" if wanted.prot else ""
        expected = f"MAP {buffer} wholly mapped{right} at access {access}"
        raise ScenarioError("no such buffer", where, expected, others)
    counts = still_to_come(candidates, rest, wanted.only)
    used = [k for k, n in enumerate(counts) if n]
    if not used:
        others = f"{len(candidates)} mapped and none {wanted.used} again"
        expected = f"one that is {wanted.used} after access {access}"
        raise ScenarioError(f"no buffer to {wanted.verb}", where, expected, others)
    if buffer == RANDOM:
        return candidates[used[int(np.random.default_rng(seed).integers(len(used)))]]
    assert buffer == BUSIEST
    return candidates[max(used, key=lambda k: (counts[k], -k))]


def vanish(parts: Iterable[tuple[Any, Any]], gone: Vanish) -> Iterator[tuple[Any, Any]]:
    """Unmap `gone` abruptly, and drop the trace's own UNMAPs of it until it is mapped again.

    Parameters
    ----------
    parts : iterable of (EVENT array, rows)
        Blocks with the number of each event in the trace.
    gone : Vanish

    Yields
    ------
    (EVENT array, rows)
    """
    seen = 0
    before = True
    watching = True
    for block, rows in parts:
        ordinal = np.cumsum(block["op"] <= EXEC) + seen
        seen = int(ordinal[-1])
        cut = 0
        if before:
            cut = int(np.searchsorted(ordinal, gone.access, side="right"))
            if cut == block.size:
                yield block, rows
                continue
        tail = block[cut:]
        keep = np.ones(block.size, bool)
        if watching:
            again = np.flatnonzero((tail["op"] == MAP) & gone.overlaps(tail))
            until = int(again[0]) if again.size else tail.size
            watching = not again.size
            drop = (tail["op"] == UNMAP) & gone.holds(tail)
            keep[cut : cut + until] = ~drop[:until]
        kept, kept_rows = block[keep], rows[keep]
        if before:
            before = False
            first = np.count_nonzero(keep[:cut])
            kept = np.insert(kept, first, _events(gone, int(tail["t_ns"][0])))
            kept_rows = np.insert(kept_rows, first, [rows[cut], rows[cut]])
        if kept.size:
            yield kept, kept_rows


def _events(gone: Vanish, t_ns: int) -> Any:
    made = np.zeros(2, EVENT)
    made["t_ns"], made["space"], made["iova"], made["size"] = t_ns, gone.space, gone.iova, gone.size
    made["op"] = UNMAP, TLBI
    made["prot"] = ABRUPT, ABRUPT | TLBI_VA
    return made
