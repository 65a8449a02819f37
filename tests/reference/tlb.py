"""A set-associative TLB in plain Python: lists, counters and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

LRU = "lru"
ROUND_ROBIN = "round-robin"
TREE_PLRU = "tree-plru"


@dataclass
class Entry:
    """One TLB entry: the key (asid, page, size) and what it answers."""

    asid: int | None  # None: global, matches every ASID
    page: int  # IOVA divided by `size`
    size: int  # bytes
    payload: Any

    def overlaps(self, start: int, length: int) -> bool:
        """Whether any byte of the page lies in [start, start + length)."""
        first = self.page * self.size
        return first < start + length and start < first + self.size


class Tlb:
    """`sets` x `ways` entries, each keyed by ASID, page number and page size.

    The rules:

    * The set of a page is its page number modulo `sets`: pages of all sizes share the sets, each indexed by
      its own page number. The ASID takes no part in the index.
    * A lookup tries every page size that some entry has, smallest first, and the ASID before global entries.
    * An insert of a key that is there replaces that entry in its way. Otherwise the lowest-numbered empty way
      is filled, and only a full set asks the replacement for a victim.
    * A hit and an insert both count as a use.
    * True LRU evicts the way whose last use is longest ago.
    * Round-robin evicts ways 0, 1, ... in turn: its pointer moves on evictions only, and uses do not matter.
    * Tree-PLRU has one bit, at first 0, in each of `ways` - 1 tree nodes. A use makes each node on its path
      point to the other half; the victim is found by following the bits (0 is the lower-numbered half).
    * An invalidation empties ways and changes nothing else.

    >>> tlb = Tlb(sets=1, ways=2)
    >>> tlb.insert(asid=1, iova=0x1000, size=0x1000, payload="a")
    >>> tlb.insert(asid=1, iova=0x2000, size=0x1000, payload="b")
    >>> tlb.lookup(1, 0x1FFF).payload
    'a'
    >>> tlb.insert(asid=1, iova=0x3000, size=0x1000, payload="c").payload  # evicts the least recently used
    'b'
    >>> tlb.hits, tlb.misses
    (1, 0)
    """

    def __init__(self, sets: int, ways: int, replacement: str = LRU):
        if replacement not in (LRU, ROUND_ROBIN, TREE_PLRU):
            raise ValueError(
                f"replacement {replacement!r}: expected {LRU!r}, {ROUND_ROBIN!r} or {TREE_PLRU!r}"
            )
        if replacement == TREE_PLRU and ways & (ways - 1):
            raise ValueError(f"{ways} ways: tree-PLRU needs a power of two")
        self.sets = sets
        self.ways = ways
        self.replacement = replacement
        self.hits = 0
        self.misses = 0
        self._slots: list[list[Entry | None]] = [[None] * ways for _ in range(sets)]
        self._order = [list(range(ways)) for _ in range(sets)]  # LRU: ways, least recently used first
        self._next = [0] * sets  # round-robin: the way to evict next
        self._tree = [
            [0] * ways for _ in range(sets)
        ]  # tree-PLRU: node n has children 2n and 2n+1, node 1 the root
        self._sizes: Counter[int] = Counter()  # how many entries have each page size

    def entries(self) -> list[Entry]:
        """Every entry, set by set and way by way."""
        return [entry for ways in self._slots for entry in ways if entry is not None]

    def lookup(self, asid: int, iova: int) -> Entry | None:
        """Find the entry for `iova`, count a hit (a use) or a miss."""
        for size in sorted(self._sizes):
            for owner in (asid, None):
                found = self._find(owner, iova // size, size)
                if found is not None:
                    index, way = found
                    self.hits += 1
                    self._use(index, way)
                    return self._slots[index][way]
        self.misses += 1
        return None

    def insert(self, asid: int | None, iova: int, size: int, payload: Any) -> Entry | None:
        """Put in the page that holds `iova` (`asid` None: a global one); return what was evicted."""
        page = iova // size
        index = page % self.sets
        evicted = None
        found = self._find(asid, page, size)
        if found is not None:
            way = found[1]
        elif None in self._slots[index]:
            way = self._slots[index].index(None)
        else:
            way = self._victim(index)
            evicted = self._slots[index][way]
        self._drop(index, way)
        self._slots[index][way] = Entry(asid, page, size, payload)
        self._sizes[size] += 1
        self._use(index, way)
        return evicted

    def invalidate_all(self) -> None:
        """TLBIALL."""
        for index in range(self.sets):
            for way in range(self.ways):
                self._drop(index, way)

    def invalidate_asid(self, asid: int) -> None:
        """TLBIASID: the entries of that ASID; global ones stay."""
        for index, way, entry in self._placed():
            if entry.asid == asid:
                self._drop(index, way)

    def invalidate_range(self, start: int, length: int, asid: int | None = None) -> None:
        """TLBIVA for each page of [start, start + length): entries that overlap it, of any size.

        With an ASID: its entries and global ones. Without: those of every ASID (TLBIVAA).
        """
        for index, way, entry in self._placed():
            if entry.overlaps(start, length) and (asid is None or entry.asid in (asid, None)):
                self._drop(index, way)

    def _placed(self) -> list[tuple[int, int, Entry]]:
        return [
            (index, way, entry)
            for index, ways in enumerate(self._slots)
            for way, entry in enumerate(ways)
            if entry is not None
        ]

    def _find(self, asid: int | None, page: int, size: int) -> tuple[int, int] | None:
        index = page % self.sets
        for way, entry in enumerate(self._slots[index]):
            if entry is not None and entry.page == page and entry.size == size and entry.asid == asid:
                return index, way
        return None

    def _drop(self, index: int, way: int) -> None:
        entry = self._slots[index][way]
        if entry is None:
            return
        self._slots[index][way] = None
        self._sizes[entry.size] -= 1
        if self._sizes[entry.size] == 0:
            del self._sizes[entry.size]

    def _use(self, index: int, way: int) -> None:
        if self.replacement == LRU:
            self._order[index].remove(way)
            self._order[index].append(way)
        elif self.replacement == TREE_PLRU:
            # Leaf `way` is node ways + way; going up, each parent is made to point to the child not come
            # from.
            node = self.ways + way
            while node > 1:
                came_from_right = node & 1
                node //= 2
                self._tree[index][node] = 0 if came_from_right else 1

    def _victim(self, index: int) -> int:
        if self.replacement == LRU:
            return self._order[index][0]
        if self.replacement == ROUND_ROBIN:
            way = self._next[index]
            self._next[index] = (way + 1) % self.ways
            return way
        node = 1
        while node < self.ways:
            node = 2 * node + self._tree[index][node]
        return node - self.ways
