"""Collects events in blocks; its clock is the order of accesses alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from traces.adreno.buffers import Memory, Range
from traces.events import EVENT, MAP, MARK, PA_UNKNOWN, PROT_READ, PROT_WRITE, READ, UNMAP, WRITE

#: Events that are taken together.
BLOCK = 1 << 15
_UNKNOWN = int(PA_UNKNOWN)


class Emitter:
    """Events in their order.

    Attributes
    ----------
    now : int
        Number of the next access: the time of everything until then.
    space : int
        Of the events that follow.
    """

    def __init__(self) -> None:
        self.now = 0
        self.space = 0
        self._memory = Memory()
        self._rows: list[tuple[int, ...]] = []

    def read(self, iova: int, size: int) -> None:
        """Add a READ."""
        self._rows.append((self.now, READ, 0, self.space, iova, size, _UNKNOWN, 0))
        self.now += 1

    def write(self, iova: int, size: int) -> None:
        """Add a WRITE."""
        self._rows.append((self.now, WRITE, 0, self.space, iova, size, _UNKNOWN, 0))
        self.now += 1

    def sweep(self, start: int, end: int, step: int) -> Iterator[np.ndarray]:
        """Yield READs of `step` bytes from one end of a range to the other."""
        yield from self.blocks(whole=False)
        total = -(-(end - start) // step)
        for first in range(0, total, BLOCK):
            n = min(BLOCK, total - first)
            out = np.zeros(n, EVENT)
            number = np.arange(n, dtype=np.uint64)
            out["t_ns"] = number + np.uint64(self.now)
            out["op"], out["space"], out["pa"] = READ, self.space, PA_UNKNOWN
            out["iova"] = number * np.uint64(step) + np.uint64(start + first * step)
            out["size"] = step
            if first + n == total:
                out["size"][-1] = end - start - (total - 1) * step
            self.now += n
            yield out

    def mark(self, number: int) -> None:
        """Add a MARK."""
        self._rows.append((self.now, MARK, 0, 0, number, 0, 0, 0))

    def change(self, unmapped: list[Range], mapped: list[Range]) -> None:
        """Add UNMAPs, then MAPs, of whole pages."""
        for start, end in unmapped:
            self._rows.append((self.now, UNMAP, 0, self.space, start, end - start, 0, 0))
        for start, end in mapped:
            pa = self._memory.place(start, end - start)
            rights = PROT_READ | PROT_WRITE
            self._rows.append((self.now, MAP, 0, self.space, start, end - start, pa, rights))

    def full(self) -> bool:
        """Whether a block waits."""
        return len(self._rows) >= BLOCK

    def blocks(self, *, whole: bool = True) -> Iterator[np.ndarray]:
        """Yield what waits: where it is a block, or always if `whole` is false."""
        if self._rows and (not whole or self.full()):
            rows, self._rows = self._rows, []
            yield np.array(rows, EVENT)
