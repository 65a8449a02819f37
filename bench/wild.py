"""Scenario `wild`: stray accesses at a rate, each right behind the access that it follows.

Which accesses a stray follows, and where it goes, are hashes of the access's number: they depend neither on
how the trace is cut into blocks nor on what came before, so the strays need no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from traces.events import EXEC, MAP, PA_UNKNOWN

PAGE = 4096
_STEP = 1 << 20
_GOLDEN = 0x9E37_79B9_7F4A_7C15
_MASK = (1 << 64) - 1


def mixed(numbers: Any, seed: int) -> Any:
    """Hash whole numbers to 64 bits: the output function of SplitMix64, after a step of its own by `seed`."""
    z = (numbers.astype(np.uint64) + np.uint64(_scramble(seed))) * np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return z ^ (z >> np.uint64(31))


def _scramble(seed: int) -> int:
    """Spread a seed over 64 bits, so that the runs of two seeds are no shift of one another."""
    z = (seed * _GOLDEN + 0xD1B5_4A32_D192_ED03) & _MASK
    z = (z ^ (z >> 32)) * 0xD6E8_FEB8_6659_FD93 & _MASK
    return z ^ (z >> 32)


@dataclass(frozen=True)
class Holes:
    """The pages of a space's lower half that no MAP of the trace reaches, hole by hole."""

    first: Any
    before: Any  # pages in the holes before
    pages: int

    def page(self, hashes: Any) -> Any:
        """Choose a page for each hash; return its IOVA."""
        chosen = hashes % np.uint64(self.pages)
        hole = np.searchsorted(self.before, chosen, side="right") - 1
        return (self.first[hole] + (chosen - self.before[hole])) * np.uint64(PAGE)


def holes(
    blocks: Iterable[Any], bits: dict[int, int], taken: dict[int, list[tuple[int, int]]]
) -> dict[int, Holes]:
    """Pass over a trace for the holes between its MAPs.

    Parameters
    ----------
    blocks : iterable of EVENT arrays
    bits : dict of space to int
        Input address bits of the spaces wanted.
    taken : dict of space to list of (first byte, byte behind)
        What else is mapped there.
    """
    spans = {space: _merged(np.array(taken.get(space, []), np.uint64).reshape(-1, 2)) for space in bits}
    for block in blocks:
        maps = block[block["op"] == MAP]
        for space in np.unique(maps["space"]).tolist():
            if space not in spans:
                continue
            mine = maps[maps["space"] == space]
            more = np.stack([mine["iova"], mine["iova"] + mine["size"]], axis=1)
            spans[space] = _merged(np.concatenate([spans[space], more]))
    return {space: _between(spans[space], 1 << bits[space]) for space in bits}


def _merged(spans: Any) -> Any:
    """Sort spans, and join those that touch."""
    if not spans.size:
        return spans
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    begins = np.flatnonzero(np.concatenate([[True], spans[1:, 0] > reach[:-1]]))
    return np.stack([spans[begins, 0], reach[np.append(begins[1:] - 1, spans.shape[0] - 1)]], axis=1)


def _between(spans: Any, end: int) -> Holes:
    low = spans[spans[:, 0] < np.uint64(end)]
    page = np.uint64(PAGE)
    first = np.append(np.zeros(1, np.uint64), (low[:, 1] + page - np.uint64(1)) // page)
    last = np.append(low[:, 0] // page, np.uint64(end) // page)
    room = last - np.minimum(first, last)
    some = room > 0
    behind = np.cumsum(room[some], dtype=np.uint64)
    pages = int(behind[-1]) if behind.size else 0
    return Holes(first[some], behind - room[some], pages)


@dataclass(frozen=True, eq=False)
class Wild:
    """Strays: behind every access whose hash is below `below` of 2**64, to a page in the holes of its space.

    Two are never equal: the holes are large.

    Attributes
    ----------
    below : int
    seed : int
    op : int or None
        None: that of the access it follows.
    requester : (stream, space) or None
        None: that of the access it follows.
    holes : dict of space to Holes
    """

    below: int
    seed: int
    op: int | None
    requester: tuple[int, int] | None
    holes: dict[int, Holes]

    def strays(self, numbers: Any) -> Any:
        """Tell behind which accesses, by number, a stray follows."""
        if self.below > _MASK:
            return np.ones(numbers.size, bool)
        return mixed(numbers, 2 * self.seed) < np.uint64(self.below)

    def count(self, accesses: int) -> int:
        """Count the strays of so many accesses."""
        found = 0
        for start in range(0, accesses, _STEP):
            found += int(np.count_nonzero(self.strays(np.arange(start, min(start + _STEP, accesses)))))
        return found


def own_accesses(block: Any, rows: Any) -> Any:
    """Tell which accesses are the trace's own; a stray has the row of the access before it."""
    access = block["op"] <= EXEC
    own = access.copy()
    own[1:] &= ~(access[:-1] & (rows[1:] == rows[:-1]))
    return own


def stray(parts: Iterable[tuple[Any, Any]], wild: Wild) -> Iterator[tuple[Any, Any]]:
    """Insert the strays; they have the time, the size and the privilege of the access they follow.

    Parameters
    ----------
    parts : iterable of (EVENT array, rows)
        Blocks with the number of each event in the trace.
    wild : Wild

    Yields
    ------
    (EVENT array, rows)
    """
    seen = 0
    for block, rows in parts:
        at = np.flatnonzero(own_accesses(block, rows))
        numbers = np.arange(seen, seen + at.size)
        seen += at.size
        follows = wild.strays(numbers)
        at, numbers = at[follows], numbers[follows]
        if not at.size:
            yield block, rows
            continue
        made = block[at]
        made["pa"] = PA_UNKNOWN
        made["size"] = np.minimum(made["size"], PAGE)
        if wild.op is not None:
            made["op"] = wild.op
        if wild.requester is not None:
            made["stream"], made["space"] = wild.requester
        where = mixed(numbers, 2 * wild.seed + 1)
        for space in np.unique(made["space"]).tolist():
            mine = made["space"] == space
            made["iova"][mine] = wild.holes[space].page(where[mine])
        yield np.insert(block, at + 1, made), np.insert(rows, at + 1, rows[at])
