"""A set-associative TLB in plain Python: lists, counters and nothing else.

It serves as micro-TLB, TLB, walk cache and IPA cache alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LRU = "lru"
ROUND_ROBIN = "round-robin"
TREE_PLRU = "tree-plru"
RANDOM = "random"
REPLACEMENTS = (LRU, ROUND_ROBIN, TREE_PLRU, RANDOM)

ALL_64_BITS = (1 << 64) - 1


@dataclass(frozen=True)
class Owner:
    """Whose an entry is (docs/translation.md, section 2).

    Owner(vmid, asid) is a stage 1 of one address space, Owner(vmid) what is global in the VMID, and
    Owner(vmid, stage=2) a stage 2, which has no ASID.
    """

    vmid: int
    asid: int | None = None
    stage: int = 1

    def sees(self) -> tuple[Owner, ...]:
        """Whose entries answer this one's look-ups, in order: its own, then the VMID's global ones.

        Stage 2 sees its own only, and no stage 1 sees a stage 2's.

        >>> Owner(1, 7).sees()
        (Owner(vmid=1, asid=7, stage=1), Owner(vmid=1, asid=None, stage=1))
        >>> Owner(1, stage=2).sees()
        (Owner(vmid=1, asid=None, stage=2),)
        """
        if self.stage == 1 and self.asid is not None:
            return self, Owner(self.vmid)
        return (self,)


def _owner(who: Owner | int | None) -> Owner:
    """Take a bare ASID, or None for a global entry, as one of VMID 0: for those who have no VMIDs."""
    return who if isinstance(who, Owner) else Owner(0, who)


@dataclass
class Entry:
    """One TLB entry: the key (owner, page, size) and what it answers."""

    owner: Owner
    page: int  # the address divided by `size`
    size: int  # bytes
    payload: Any

    @property
    def asid(self) -> int | None:
        """The owner's ASID; None where the entry is global or of a stage 2."""
        return self.owner.asid

    def overlaps(self, start: int, length: int) -> bool:
        """Whether any byte of the page lies in [start, start + length)."""
        first = self.page * self.size
        return length > 0 and first < start + length and start < first + self.size


class Tlb:
    """`sets` x `ways` entries, each keyed by owner, page number and page size.

    The rules:

    * The set of a page is its page number modulo `sets`: pages of all sizes share the sets, each indexed by
      its own page number. The owner takes no part in the index.
    * A lookup tries every page size that it has ever held, smallest first, and for each the owner's own entry
      before the VMID's global one. The first that is there answers.
    * An insert of a key that is there replaces that entry in its way. Otherwise the lowest-numbered empty way
      is filled, and only a full set asks the replacement for a victim.
    * A hit and an insert both count as a use.
    * True LRU evicts the way whose last use is longest ago.
    * Round-robin evicts ways 0, 1, ... in turn: its pointer moves on evictions only, and uses do not matter.
    * Tree-PLRU has one bit, at first 0, in each of `ways` - 1 tree nodes. A use makes each node on its path
      point to the other half; the victim is found by following the bits (0 is the lower-numbered half).
    * Random has one generator for the whole TLB, not one for each set: a 64-bit x, at first
      (0x9E3779B97F4A7C15 + 256 * seed + 2 * unit) mod 2^64 with its lowest bit set. An eviction does
      x ^= x << 13, x ^= x >> 7, x ^= x << 17 and takes way (x >> 33) mod `ways`. `unit` tells apart the TLBs
      that have a seed in common: the micro-TLB of TBU n has unit n.
    * An invalidation empties ways and changes nothing else.

    Where an owner is asked for, a bare ASID will do, or None for a global entry: both are then of VMID 0.

    >>> tlb = Tlb(sets=1, ways=2)
    >>> tlb.insert(1, 0x1000, size=0x1000, payload="a")
    >>> tlb.insert(1, 0x2000, size=0x1000, payload="b")
    >>> tlb.lookup(1, 0x1FFF).payload
    'a'
    >>> tlb.insert(1, 0x3000, size=0x1000, payload="c").payload  # evicts the least recently used
    'b'
    >>> tlb.hits, tlb.misses
    (1, 0)
    """

    def __init__(self, sets: int, ways: int, replacement: str = LRU, seed: int = 0, unit: int = 0):
        if replacement not in REPLACEMENTS:
            raise ValueError(f"replacement {replacement!r}: expected one of {REPLACEMENTS}")
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
        self._sizes: set[int] = set()  # every page size that it has ever held
        self._random = (0x9E3779B97F4A7C15 + 256 * seed + 2 * unit) & ALL_64_BITS | 1

    def entries(self) -> list[Entry]:
        """Every entry, set by set and way by way."""
        return [entry for ways in self._slots for entry in ways if entry is not None]

    def lookup(self, owner: Owner | int, address: int, *, size: int | None = None) -> Entry | None:
        """Find the entry for `address`, count a hit (a use) or a miss. With `size`: of that size only."""
        for tried in sorted(self._sizes) if size is None else [size]:
            for seen in _owner(owner).sees():
                found = self._find(seen, address // tried, tried)
                if found is not None:
                    index, way = found
                    self.hits += 1
                    self._use(index, way)
                    return self._slots[index][way]
        self.misses += 1
        return None

    def insert(self, owner: Owner | int | None, address: int, size: int, payload: Any) -> Entry | None:
        """Put in the page that holds `address`; return what was evicted."""
        owner = _owner(owner)
        page = address // size
        index = page % self.sets
        evicted = None
        found = self._find(owner, page, size)
        if found is not None:
            way = found[1]
        elif None in self._slots[index]:
            way = self._slots[index].index(None)
        else:
            way = self._victim(index)
            evicted = self._slots[index][way]
        self._slots[index][way] = Entry(owner, page, size, payload)
        self._sizes.add(size)
        self._use(index, way)
        return evicted

    # --- Invalidation: which entries each kind takes. They stay in their sets otherwise untouched.

    def invalidate_all(self) -> None:
        """Everything."""
        self._drop_where(lambda entry: True)

    def invalidate_vmid(self, vmid: int) -> None:
        """Everything of a VMID: every ASID's, global, and stage 2."""
        self._drop_where(lambda entry: entry.owner.vmid == vmid)

    def invalidate_owner(self, owner: Owner) -> None:
        """That owner's entries and no other's: of an ASID, its own; global ones stay."""
        self._drop_where(lambda entry: entry.owner == owner)

    def invalidate_va(self, owner: Owner, start: int, length: int) -> None:
        """What that owner's look-ups could find in the range: its own entries and its VMID's global ones."""
        self._drop_where(lambda entry: entry.owner in owner.sees() and entry.overlaps(start, length))

    def invalidate_vaa(self, vmid: int, start: int, length: int) -> None:
        """The VMID's stage-1 entries that meet the range, of every ASID, and global ones."""

        def goes(entry: Entry) -> bool:
            return entry.owner.vmid == vmid and entry.owner.stage == 1 and entry.overlaps(start, length)

        self._drop_where(goes)

    def invalidate_ipas2(self, vmid: int, start: int, length: int) -> None:
        """The VMID's stage-2 entries that meet the range of IPAs."""
        self.invalidate_va(Owner(vmid, stage=2), start, length)

    def invalidate_asid(self, asid: int) -> None:
        """`invalidate_owner` for those who have no VMIDs."""
        self.invalidate_owner(Owner(0, asid))

    def invalidate_range(self, start: int, length: int, asid: int | None = None) -> None:
        """`invalidate_va` for those who have no VMIDs; without an ASID, `invalidate_vaa`."""
        if asid is None:
            self.invalidate_vaa(0, start, length)
        else:
            self.invalidate_va(Owner(0, asid), start, length)

    def _drop_where(self, goes: Callable[[Entry], bool]) -> None:
        for ways in self._slots:
            for way, entry in enumerate(ways):
                if entry is not None and goes(entry):
                    ways[way] = None

    def _find(self, owner: Owner, page: int, size: int) -> tuple[int, int] | None:
        index = page % self.sets
        for way, entry in enumerate(self._slots[index]):
            if entry is not None and (entry.owner, entry.page, entry.size) == (owner, page, size):
                return index, way
        return None

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
        if self.replacement == RANDOM:
            x = self._random
            x ^= (x << 13) & ALL_64_BITS
            x ^= x >> 7
            x ^= (x << 17) & ALL_64_BITS
            self._random = x
            return (x >> 33) % self.ways
        node = 1
        while node < self.ways:
            node = 2 * node + self._tree[index][node]
        return node - self.ways
