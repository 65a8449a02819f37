"""The pages that something touched: their mappings, and where they go if they are to lie apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from traces.errors import TraceError
from traces.events import EVENT, MAP, PROT_READ, PROT_WRITE

#: Pages of a region, whose bits are kept together; and regions at most (2 TiB of 4 KiB pages side by side).
_PAGES, _MOST_REGIONS = 512, 1 << 20
_WORDS = _PAGES // 64
#: The first made-up output address, and the first IOVA of pages that are moved.
FIRST_PA, FIRST_IOVA = 1 << 32, 1 << 32
#: Pages that may be moved, and where the last may end.
MOST_MOVED, _END = 1 << 24, 1 << 47
_BLOCK = 1 << 16


class Touched:
    """A set of pages.

    Parameters
    ----------
    granule : int
        Bytes of a page.
    where : str
        The file, named in errors.
    """

    def __init__(self, granule: int, where: str) -> None:
        self.granule = granule
        self._where = where
        self._shift = np.uint64(granule.bit_length() - 1)
        self._bits: dict[int, int] = {}
        self._pages = 0
        self._numbers = np.empty(0, np.uint64)
        self._words = np.empty((0, _WORDS), np.uint64)
        self._before = np.empty((0, _WORDS), np.uint64)

    def add(self, iova: np.ndarray) -> None:
        """Add the pages of addresses (uint64)."""
        for page in np.unique(iova >> self._shift).tolist():
            self._set(page // _PAGES, 1 << page % _PAGES)

    def add_range(self, iova: int, size: int) -> None:
        """Add every page that has a byte of a range."""
        first, last = iova // self.granule, (iova + size - 1) // self.granule
        for region in range(first // _PAGES, last // _PAGES + 1):
            low = max(first - region * _PAGES, 0)
            high = min(last - region * _PAGES, _PAGES - 1)
            self._set(region, (1 << high + 1) - (1 << low))

    def _set(self, region: int, bits: int) -> None:
        self._bits[region] = self._bits.get(region, 0) | bits
        if len(self._bits) > _MOST_REGIONS:
            expected = f"pages in at most {_MOST_REGIONS:,} places"
            raise TraceError("addresses too far apart", self._where, expected)

    def finish(self) -> int:
        """End the collecting; return how many pages there are."""
        order = sorted(self._bits)
        self._numbers = np.array(order, np.uint64)
        raw = b"".join(self._bits.pop(region).to_bytes(_PAGES // 8, "little") for region in order)
        self._words = np.frombuffer(raw, "<u8").reshape(-1, _WORDS)
        ones = np.bitwise_count(self._words).astype(np.uint64)
        self._before = (np.cumsum(ones) - ones.ravel()).reshape(-1, _WORDS)
        self._pages = int(ones.sum())
        return self._pages

    def ranks(self, iova: np.ndarray) -> np.ndarray:
        """Return how many pages lie below each address's (which must be of the set)."""
        page = iova >> self._shift
        region = np.searchsorted(self._numbers, page // np.uint64(_PAGES))
        bit = page % np.uint64(_PAGES)
        word, below = bit // np.uint64(64), (np.uint64(1) << bit % np.uint64(64)) - np.uint64(1)
        at = word.astype(np.int64)
        return np.asarray(self._before[region, at] + np.bitwise_count(self._words[region, at] & below))

    def moved(self, iova: np.ndarray, apart: int) -> np.ndarray:
        """Return addresses whose pages lie `apart` bytes from one another, in the same order."""
        offset = iova & np.uint64(self.granule - 1)
        return np.asarray(np.uint64(FIRST_IOVA) + self.ranks(iova) * np.uint64(apart) + offset)

    def check_move(self, apart: int) -> None:
        """Refuse to move more pages than there is room for."""
        most = min(MOST_MOVED, (_END - FIRST_IOVA) // apart)
        if self._pages > most:
            raise TraceError(
                f"--relocate {apart}: no room", self._where, f"{most:,} pages at most", f"{self._pages:,}"
            )

    def maps(self, apart: int = 0) -> Iterator[np.ndarray]:
        """Yield a MAP at time 0 for each run of pages, or for each page where they are moved apart.

        Output addresses are made up, one after the other, and so that no table entry is larger than a page.
        """
        size = np.uint64(self.granule)
        pa = FIRST_PA
        for iova, length in self._runs() if not apart else self._moved_pages(apart):
            out = np.zeros(iova.size, EVENT)
            out["op"], out["iova"], out["size"] = MAP, iova, length
            out["prot"] = PROT_READ | PROT_WRITE
            # Two pages of room more a run: one to differ from the IOVA by an odd number of pages.
            room = np.cumsum(length + np.uint64(2) * size) - length
            base = np.uint64(pa) + room - np.uint64(2) * size
            out["pa"] = base + (iova + size - base) % (np.uint64(2) * size)
            pa = int(base[-1] + length[-1] + np.uint64(2) * size)
            yield out

    def _moved_pages(self, apart: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for first in range(0, self._pages, _BLOCK):
            rank = np.arange(first, min(first + _BLOCK, self._pages), dtype=np.uint64)
            iova = np.uint64(FIRST_IOVA) + rank * np.uint64(apart)
            yield iova, np.full(rank.size, self.granule, np.uint64)

    def _runs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield starts and lengths, bytes, of pages side by side."""
        step = _BLOCK // _PAGES
        start = end = -1
        for at in range(0, self._numbers.size, step):
            bits = np.unpackbits(self._words[at : at + step].view(np.uint8), bitorder="little")
            row, bit = np.nonzero(bits.reshape(-1, _PAGES))
            pages = (self._numbers[at : at + step][row] * np.uint64(_PAGES)).astype(np.int64) + bit
            cuts = np.flatnonzero(np.diff(pages) != 1) + 1
            firsts, lasts = pages[np.r_[0, cuts]].tolist(), pages[np.r_[cuts - 1, -1]].tolist()
            if firsts[0] == end:
                firsts[0] = start
            elif start >= 0:
                firsts.insert(0, start)
                lasts.insert(0, end - 1)
            # The last may go on in the next block.
            start, end = firsts.pop(), lasts.pop() + 1
            if firsts:
                yield self._bytes(firsts, lasts)
        if start >= 0:
            yield self._bytes([start], [end - 1])

    def _bytes(self, firsts: list[int], lasts: list[int]) -> tuple[np.ndarray, np.ndarray]:
        first, last = np.array(firsts, np.uint64), np.array(lasts, np.uint64)
        return first << self._shift, (last - first + np.uint64(1)) << self._shift
