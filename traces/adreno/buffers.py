"""Which buffers a capture says are there: lists of ranges, made into MAPs and UNMAPs of whole pages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Range = tuple[int, int]  #: first address, and the one behind the last

PAGE = 4096
#: Where made-up output addresses begin and end.
PA, PA_END = 1 << 31, 1 << 47
_BLOCK = 1 << 21


def pages_of(start: int, end: int) -> Range:
    """Return the whole pages that a range touches."""
    return start & -PAGE, -(-end // PAGE) * PAGE


def union(ranges: Iterable[Range]) -> list[Range]:
    """Join ranges that meet or overlap.

    >>> union([(8, 9), (0, 4), (4, 6)])
    [(0, 6), (8, 9)]
    """
    out: list[Range] = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def without(start: int, end: int, taken: Sequence[Range]) -> list[Range]:
    """Return what is left of a range without others.

    Parameters
    ----------
    start, end : int
    taken : sequence of (int, int)
        Sorted, and apart from each other.

    Examples
    --------
    >>> without(0, 10, [(2, 3), (5, 20)])
    [(0, 2), (3, 5)]
    """
    out: list[Range] = []
    at = max(0, bisect_right(taken, (start, 1 << 64)) - 1)
    while at < len(taken) and taken[at][0] < end:
        first, last = taken[at]
        if last > start:
            if first > start:
                out.append((start, first))
            start = last
        at += 1
    if start < end:
        out.append((start, end))
    return out


class Memory:
    """Makes up output addresses, for captures that tell none.

    One MAP lies in one piece, at an address whose offset in 2 MiB is a page beyond its input address's: so
    its table entries are of 4 KiB, as those of scattered pages are.
    """

    def __init__(self) -> None:
        self._next = PA

    def place(self, iova: int, size: int) -> int:
        """Return an output address for `size` bytes at `iova`, both of whole pages."""
        pa = self._next + (iova + PAGE - self._next) % _BLOCK
        if pa + size > PA_END:
            pa = PA + (iova + PAGE - PA) % _BLOCK
        self._next = pa + size
        return pa


class Buffers:
    """The buffers of one space.

    Attributes
    ----------
    listed : list of (int, int)
        The ranges of the last list, in its order, to the byte.
    mapped : list of (int, int)
        The ranges of pages that are mapped, sorted, one for each MAP.
    """

    def __init__(self) -> None:
        self.listed: list[Range] = []
        self.mapped: list[Range] = []
        self._exact: list[Range] = []

    def change(self, listed: list[Range]) -> tuple[list[Range], list[Range]]:
        """Take a new list in the place of the last.

        Parameters
        ----------
        listed : list of (int, int)

        Returns
        -------
        unmapped, mapped : list of (int, int)
            Ranges of whole pages: those that no buffer of the new list touches; and, for each buffer in the
            list's order, those that were not mapped.  Buffers that share a page share its mapping.
        """
        if listed == self.listed:
            return [], []
        self.listed = list(listed)
        self._exact = union(listed)
        wanted = union(pages_of(*each) for each in listed)
        gone = [piece for each in self.mapped for piece in without(*each, wanted)]
        taken = sorted(gone)
        kept = [piece for each in self.mapped for piece in without(*each, taken)]
        new: list[Range] = []
        have = union(kept)
        for each in dict.fromkeys(pages_of(*one) for one in listed):
            pieces = without(*each, have)
            if pieces:
                new += pieces
                _insert(have, pieces)
        self.mapped = sorted(kept + new)
        return gone, new

    def add(self, more: list[Range]) -> list[Range]:
        """Map further buffers; return what of their pages was not mapped."""
        return self.change([*self.listed, *more])[1]

    def holds(self, iova: int) -> bool:
        """Tell whether an address lies in a buffer of the last list."""
        at = bisect_right(self._exact, (iova, 1 << 64)) - 1
        return at >= 0 and iova < self._exact[at][1]


def _insert(have: list[Range], pieces: list[Range]) -> None:
    """Put ranges that are apart from all others in their places."""
    for piece in pieces:
        have.insert(bisect_right(have, piece), piece)
