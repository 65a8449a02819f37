"""Which mappings are live after the events seen so far."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from traces.events import EVENT, MAP, PROT_READ, PROT_WRITE, UNMAP
from traces.formats import Reach
from traces.manifest import Space


@dataclass(frozen=True)
class _Piece:
    """A mapped range: where it ends, what it translates to, and the MAP that made it."""

    end: int
    pa: int
    prot: int
    order: int


class Live:
    """Follows the MAPs and UNMAPs of every space.

    Parameters
    ----------
    spaces : sequence of Space
    """

    def __init__(self, spaces: Sequence[Space]) -> None:
        self._reach = Reach(spaces)
        self._starts: list[list[int]] = [[] for _ in spaces]
        self._pieces: list[dict[int, _Piece]] = [{} for _ in spaces]
        self._maps = 0

    def feed(self, events: np.ndarray) -> None:
        """Carry out the MAPs and UNMAPs of a block of events."""
        table = events[(events["op"] == MAP) | (events["op"] == UNMAP)]
        if not table.size:
            return
        # As the tables are walked: two addresses that differ in bits that do not count are one.
        inputs = self._reach.input_of(table["space"], table["iova"])
        columns = (table[name].tolist() for name in ("op", "space", "size", "pa", "prot"))
        for iova, op, space, size, pa, prot in zip(inputs.tolist(), *columns, strict=True):
            if op == UNMAP:
                self._clear(space, iova, iova + size)
            # A mapping that allows nothing maps nothing.
            elif prot & (PROT_READ | PROT_WRITE):
                self._clear(space, iova, iova + size)
                self._put(space, iova, _Piece(iova + size, pa, prot, self._maps))
                self._maps += 1

    def maps(self) -> np.ndarray:
        """Return a MAP, at time 0, for each range that is mapped, in the order in which they were.

        A range that was unmapped in part gives one for each part that is left: its table entries are
        the same, for no entry is unmapped in part.
        """
        listed = [
            (piece.order, start, space, piece)
            for space, pieces in enumerate(self._pieces)
            for start, piece in pieces.items()
        ]
        listed.sort(key=lambda row: row[:2])
        rows = [(0, MAP, 0, space, start, p.end - start, p.pa, p.prot) for _, start, space, p in listed]
        return np.array(rows, EVENT)

    def _put(self, space: int, start: int, piece: _Piece) -> None:
        starts = self._starts[space]
        starts.insert(bisect_left(starts, start), start)
        self._pieces[space][start] = piece

    def _clear(self, space: int, first: int, end: int) -> None:
        starts, pieces = self._starts[space], self._pieces[space]
        at = bisect_right(starts, first) - 1
        if at < 0 or pieces[starts[at]].end <= first:
            at += 1
        upto = bisect_left(starts, end, at)
        gone = [(start, pieces.pop(start)) for start in starts[at:upto]]
        del starts[at:upto]
        for start, piece in gone:
            if start < first:
                self._put(space, start, _Piece(first, piece.pa, piece.prot, piece.order))
            if piece.end > end:
                self._put(space, end, _Piece(piece.end, piece.pa + end - start, piece.prot, piece.order))
