"""The hits of every TLB size from one pass, exact or estimated from a sample of the pages."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from smmucore.recency import DEPTH, EMPTY, MOST, MOST_HALVINGS, PAGES, Stack, stack
from smmucore.reuse import COLD, EXTRA, USE, feed, rebuild

#: Distances are told apart up to here: twice the largest size shown, so that a sample can tell how far off
#: it may be there.
LIMIT = 1 << 17

#: Pages are put by hash into so many groups, whose spread tells how far a sample may be off.
GROUPS = 8
#: Student's t for 99 % and GROUPS - 1 degrees of freedom.
STUDENT = 3.5
#: With fewer sampled pages nothing is claimed.
FEWEST = 64


@dataclass(frozen=True)
class Curve:
    """Hits of every size up to `LIMIT`, exact or estimated.

    Attributes
    ----------
    hits : int64 (LIMIT + 1,)
        Hits of a TLB of n entries.
    error : float64 (LIMIT + 1,)
        Of hits / accesses: half of a 99 % interval; 0 where the hits are exact.
    accesses : int
    cold, invalidated : int
        First uses, and uses of a page that was invalidated since the last: no size hits them.
    distinct : int
        Pages (estimated: cold).
    sampled : int
        Pages that were looked at to the end.
    weight : int
        One page in so many was looked at in the end; 1: all, and the curve is exact.
    """

    hits: Any
    error: Any
    accesses: int
    cold: int
    invalidated: int
    distinct: int
    sampled: int
    weight: int

    @property
    def attainable(self) -> int:
        """Hits of an endless TLB."""
        return max(self.accesses - self.cold - self.invalidated, 0)

    def knee(self, percent: int) -> int | None:
        """Return the fewest entries that reach `percent` of the attainable hits; None beyond `LIMIT`."""
        # In whole numbers: a float could call 90 % of 10 hits 9.000000001.
        enough = np.flatnonzero(self.hits * 100 >= self.attainable * percent)
        return max(int(enough[0]), 1) if enough.size else None


class Reuse:
    """Distances of one stream, fed block by block.

    Parameters
    ----------
    halvings : int
        Look at one page in ``2**halvings`` from the start.
    most : int or None
        Distinct sampled pages to hold at most: with one more, the rate is halved. None: no bound, and the
        memory grows with the number of pages.
    invalidations : bool
        There will be DROPs.
    room : int
        Fewest times between two rebuilds, a power of two from 64 on; does not change a result.
    """

    def __init__(
        self, halvings: int = 0, most: int | None = None, *, invalidations: bool = False, room: int = 1 << 14
    ) -> None:
        if not 0 <= halvings <= MOST_HALVINGS:
            raise ValueError(f"expected 0 to {MOST_HALVINGS} halvings, found {halvings}")
        self.halvings = halvings
        self.accesses = 0
        self._room = room
        self._invalidations = invalidations
        self._most = most
        self.bins = np.zeros((1 if halvings == 0 and most is None else GROUPS, LIMIT + EXTRA), np.int64)
        self._stack = self._sized(64, 64)

    def feed(self, kind: Any, page: Any, last: Any) -> None:
        """Carry out a block: `kind` uint8, `page` and `last` uint64, each (n,)."""
        self.accesses += int(np.count_nonzero(kind == USE))
        at = 0
        while True:
            at = int(feed(self._stack, kind, page, last, at, 1 << self.halvings, self.bins))
            if at == page.size:
                return
            self._rebuild()

    def pages(self) -> Any:
        """Return the numbers of the distinct pages that are sampled."""
        return self._stack.keys[self._stack.when != EMPTY]

    def _sized(self, pages: int, depth: int) -> Stack:
        places = max(self._room, 1 << (4 * pages - 1).bit_length())
        times = max(self._room, 1 << (4 * depth - 1).bit_length())
        most = self._most if self._most is not None and self.halvings < MOST_HALVINGS else 1 << 62
        return stack(places, times, (1 << self.halvings) - 1, most, holes=self._invalidations)

    def _rebuild(self) -> None:
        old = self._stack
        if old.state[PAGES] > old.state[MOST]:
            self.halvings += 1
        self._stack = self._sized(int(old.state[PAGES]), int(old.state[DEPTH]))
        rebuild(old, self._stack)

    def curve(self) -> Curve:
        """Return what has been found so far.

        Misses are what is estimated, and hits are the rest: a page that is used all the time hardly
        misses, so it matters little whether the sample has it.
        """
        weight = 1 << self.halvings
        missed = self.bins.sum(axis=1, keepdims=True) - np.cumsum(self.bins, axis=1) + self.bins[:, :1]
        missed = missed[:, : LIMIT + 1]
        missed[:, 0] = self.bins.sum(axis=1)
        hits = np.clip(self.accesses - missed.sum(axis=0), 0, None)
        hits[0] = 0
        cold = int(self.bins[:, COLD].sum())
        dropped = int(self.bins[:, LIMIT + 2].sum())
        sampled = int(self._stack.state[PAGES])
        error = np.zeros(LIMIT + 1)
        if weight > 1:
            highest = max(self.accesses - cold - dropped, 0)
            error = self._error(missed, hits, highest) if sampled >= FEWEST else np.ones(LIMIT + 1)
        return Curve(hits, error, self.accesses, cold, dropped, cold, sampled, weight)

    def _error(self, missed: Any, hits: Any, highest: int) -> Any:
        """Add up the two ways in which a sample is off.

        Which pages are in it: by the spread between groups of pages, which few groups can hide by
        chance, and by that of the number of pages, each of which misses at least once.  How far a
        distance is off: of N pages, the sample has N / weight, give or take twice the root of that, so
        the hits at N may be those of any size so much smaller or larger.
        """
        weight = 1 << self.halvings
        pages = int(self._stack.state[PAGES])
        spread = np.sqrt(GROUPS * missed.var(axis=0, ddof=1) + pages * weight * weight)
        sizes = np.arange(LIMIT + 1)
        slack = np.array([isqrt(4 * n * weight) for n in sizes.tolist()]) + weight
        low = hits[np.maximum(sizes - slack, 0)]
        above = sizes + slack
        high = np.where(above > LIMIT, highest, hits[np.minimum(above, LIMIT)])
        off = STUDENT * spread + np.maximum(hits - low, high - hits)
        return np.minimum(off / max(self.accesses, 1), 1.0)
