"""A first pass over a trace: what a scenario and a setup must know before the replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from traces.events import EXEC, MAP, UNMAP


@dataclass(frozen=True)
class Summary:
    """What a trace holds.

    Attributes
    ----------
    accesses : int
    rows : int
    last_ns : int
        Time of the last event, as captured.
    by_requester : dict of (stream, space) to int
        Accesses, in the order of stream, then space.
    top : dict of space to int
        First IOVA above everything that the trace accesses, maps or unmaps in its lower half.
    maps : int
        MAP events.
    """

    accesses: int
    rows: int
    last_ns: int
    by_requester: dict[tuple[int, int], int]
    top: dict[int, int]
    maps: int

    @property
    def streams(self) -> set[int]:
        """Stream IDs that access anything."""
        return {stream for stream, _ in self.by_requester}

    def busiest(self, stream: int | None = None) -> tuple[int, int] | None:
        """Return the (stream, space) with most accesses, of `stream` if given; the lowest of equals."""
        mine = {key: n for key, n in self.by_requester.items() if stream is None or key[0] == stream}
        return max(mine, key=lambda key: (mine[key], (-key[0], -key[1])), default=None)


#: What a first pass reads.
FIELDS = ("t_ns", "op", "stream", "space", "iova", "size")


_ALIKE = {"stream", "space", "size"}


def summarise(blocks: Iterable[Any], ias: Sequence[int]) -> Summary:
    """Pass over the blocks of a trace once.

    Parameters
    ----------
    blocks : iterable of EVENT arrays, or of `traces.columns.Columns` with `FIELDS`
    ias : sequence of int
        Input address bits of each space's lower half.
    """
    counts: Counter[tuple[int, int]] = Counter()
    top: dict[int, int] = {}
    rows = last = maps = 0
    for given in blocks:
        if not isinstance(given, np.ndarray) and given.only_accesses and given.same.keys() >= _ALIKE:
            # All accesses of one requester: a few numbers tell.
            space, size = given.same["space"], max(given.same["size"], 1)
            counts[given.same["stream"], space] += given.rows
            top[space] = max(top.get(space, 0), _top(given.array("iova"), size, 1 << ias[space]))
            rows += given.rows
            last = given.same["t_ns"] if "t_ns" in given.same else int(given.arrays["t_ns"][-1])
            continue
        block = given if isinstance(given, np.ndarray) else given.events()
        access = block["op"] <= EXEC
        keys = block["stream"].astype(np.uint32) << 16 | block["space"]
        for key, n in zip(*np.unique(keys[access], return_counts=True), strict=True):
            counts[int(key) >> 16, int(key) & 0xFFFF] += int(n)
        ranged = access | (block["op"] == MAP) | (block["op"] == UNMAP)
        ends = block["iova"] + np.maximum(block["size"], np.uint64(1)) - np.uint64(1)
        for space in np.unique(block["space"][ranged]).tolist():
            mine = ends[ranged & (block["space"] == space)]
            mine = mine[mine < np.uint64(1 << ias[space])]
            top[space] = max(top.get(space, 0), int(mine.max(initial=0)) + 1 if mine.size else 0)
        maps += int(np.count_nonzero(block["op"] == MAP))
        rows += block.size
        last = int(block["t_ns"][-1])
    return Summary(sum(counts.values()), rows, last, dict(sorted(counts.items())), top, maps)


def _top(iova: Any, size: int, limit: int) -> int:
    """Return the first address above all accesses of `size` bytes that end below `limit`."""
    highest = int(iova.max()) + size
    if highest > limit:
        # Beyond the lower half, or round the end of all addresses: some of them, one by one.
        ends = iova + np.uint64(size - 1)
        highest = int(ends[ends < np.uint64(limit)].max(initial=0))
        highest += highest > 0 or bool((ends == 0).any())
    return highest
