"""Tables, TLBs and walk cache of the plain-Python fault model (docs/model.md, sections 2 and 3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from traces import events as ev

FSR_TF = 1 << 1
FSR_PF = 1 << 3

LEVEL_SHIFT = (39, 30, 21, 12)  #: of the bytes that one descriptor of level 0..3 covers
LEAF_LEVELS = (3, 2, 1)  #: 4K, 2M, 1G: the order in which a lookup tries the page sizes
ENTRIES = 512

Page = tuple[int, int, int]  #: bank, page number, level of the leaf


@dataclass
class Leaf:
    """A page or block descriptor."""

    pa: int
    prot: int


@dataclass(eq=False)
class Table:
    """A table of descriptors; what it lacks is invalid."""

    entries: dict[int, Table | Leaf] = field(default_factory=dict)


@dataclass
class Walked:
    """What a walk found: the leaf, or None and the level of the invalid descriptor."""

    leaf: Leaf | None
    level: int
    reads: int
    last_table: Table


def split_into_pages(iova: int, size: int, pa: int) -> list[tuple[int, int, int]]:
    """Split as Linux's iommu_pgsize does, into the largest pages that all three allow: (IOVA, PA, level)."""
    pages = []
    while size > 0:
        level = 1
        while level < 3 and (1 << LEVEL_SHIFT[level] > size or (iova | pa) % (1 << LEVEL_SHIFT[level])):
            level += 1
        pages.append((iova, pa, level))
        step = 1 << LEVEL_SHIFT[level]
        iova, pa, size = iova + step, pa + step, size - step
    return pages


def index_of(iova: int, level: int) -> int:
    """Index of the descriptor in its table.  Level 0 is not masked: beyond 48 bits nothing is found."""
    index = iova >> LEVEL_SHIFT[level]
    return index if level == 0 else index % ENTRIES


class Tables:
    """The tables of every bank.  Once made, a table is never freed, even when its last leaf is gone."""

    def __init__(self) -> None:
        self.roots: dict[int, Table] = {}

    def root(self, bank: int) -> Table:
        return self.roots.setdefault(bank, Table())

    def map(self, bank: int, iova: int, size: int, pa: int, prot: int) -> None:
        for page_iova, page_pa, level in split_into_pages(iova, size, pa):
            self.map_page(bank, page_iova, level, Leaf(page_pa, prot))

    def map_page(self, bank: int, iova: int, level: int, leaf: Leaf) -> None:
        table = self.root(bank)
        for upper in range(level):
            table = self._next_table(table, index_of(iova, upper), upper)
        table.entries[index_of(iova, level)] = leaf

    def _next_table(self, table: Table, index: int, level: int) -> Table:
        below = table.entries.get(index)
        if isinstance(below, Table):
            return below
        fresh = Table()
        if below is not None:  # a block in the way becomes a table of smaller leaves
            step = 1 << LEVEL_SHIFT[level + 1]
            fresh.entries = {n: Leaf(below.pa + n * step, below.prot) for n in range(ENTRIES)}
        table.entries[index] = fresh
        return fresh

    def unmap(self, bank: int, iova: int, size: int) -> None:
        self._unmap(self.root(bank), 0, 0, iova, iova + size)

    def _unmap(self, table: Table, level: int, base: int, first: int, end: int) -> None:
        span = 1 << LEVEL_SHIFT[level]
        for index in list(table.entries):
            start = base + index * span
            if start >= end or start + span <= first:
                continue
            entry = table.entries[index]
            if isinstance(entry, Leaf) and first <= start and start + span <= end:
                del table.entries[index]
            else:
                self._unmap(self._next_table(table, index, level), level + 1, start, first, end)

    def walk(self, bank: int, iova: int, level3: Table | None = None) -> Walked:
        """Walk from the root, or from a level-3 table that the walk cache knew."""
        table, level, reads = (self.root(bank), 0, 0) if level3 is None else (level3, 3, 0)
        while True:
            reads += 1
            entry = table.entries.get(index_of(iova, level))
            if not isinstance(entry, Table):
                return Walked(entry, level, reads, table)
            table, level = entry, level + 1

    def page_at(self, bank: int, iova: int) -> tuple[int, int, Leaf] | None:
        """The page that covers an IOVA: its first IOVA, its level, its leaf."""
        found = self.walk(bank, iova)
        if found.leaf is None:
            return None
        return iova >> LEVEL_SHIFT[found.level] << LEVEL_SHIFT[found.level], found.level, found.leaf


class Cache:
    """Set-associative with true LRU.  Each set is kept oldest use first."""

    def __init__(self, sets: int, ways: int) -> None:
        self.ways = ways
        self.sets: list[OrderedDict[Hashable, Any]] = [OrderedDict() for _ in range(sets)]

    def _set(self, number: int) -> OrderedDict[Hashable, Any]:
        return self.sets[number % len(self.sets)]

    def holds(self, number: int, tag: Hashable) -> bool:
        return tag in self._set(number)

    def lookup(self, number: int, tag: Hashable) -> Any:
        entries = self._set(number)
        if tag not in entries:
            return None
        entries.move_to_end(tag)
        return entries[tag]

    def fill(self, number: int, tag: Hashable, value: Any) -> None:
        entries = self._set(number)
        if tag not in entries and len(entries) == self.ways:
            entries.popitem(last=False)
        entries[tag] = value
        entries.move_to_end(tag)

    def drop(self, doomed: Callable[[Any], bool]) -> None:
        for entries in self.sets:
            for tag in [tag for tag in entries if doomed(tag)]:
                del entries[tag]


@dataclass(eq=False)
class Cached:
    """A translation in a TLB.  The micro-TLBs and the TLB share it until one of them drops it."""

    leaf: Leaf
    ready: int = 0  #: when the walk that found it ends


@dataclass
class Translation:
    """What one translation did, and how long it takes once it has started."""

    cached: Cached | None  #: what was hit, or what a walk has put into the TLBs

    page: Page | None  #: None: a translation fault
    walked: bool
    latency: int
    fault: int  #: 0, FSR_TF or FSR_PF
    level: int  #: of the leaf, or of the invalid descriptor


def page_of(bank: int, iova: int, level: int) -> Page:
    return bank, iova >> LEVEL_SHIFT[level], level


def permits(leaf: Leaf, op: int, privileged: bool) -> bool:
    need = {ev.READ: ev.PROT_READ, ev.WRITE: ev.PROT_WRITE, ev.EXEC: ev.PROT_EXEC}[op]
    return bool(leaf.prot & need) and (privileged or not leaf.prot & ev.PROT_PRIV)


class Translator:
    """One micro-TLB per TBU, one TLB and one walk cache for all of them."""

    def __init__(
        self, hw: dict[str, Any], costs: dict[str, int], counters: dict[str, int], tables: Tables
    ) -> None:
        self.costs = costs
        self.counters = counters
        self.tables = tables
        self.utlbs = [Cache(*hw["utlb"]) for _ in range(hw["tbus"])]
        self.tlb = Cache(*hw["tlb"])
        self.walk_cache = Cache(*hw["walk_cache"])

    def needs_walk(self, tbu: int, bank: int, iova: int) -> bool:
        """Look without touching any LRU order."""
        pages = [page_of(bank, iova, level) for level in LEAF_LEVELS]
        return not any(cache.holds(page[1], page) for cache in (self.utlbs[tbu], self.tlb) for page in pages)

    def _lookup(self, cache: Cache, bank: int, iova: int) -> tuple[Page, Cached] | None:
        for level in LEAF_LEVELS:
            page = page_of(bank, iova, level)
            cached = cache.lookup(page[1], page)
            if cached is not None:
                return page, cached
        return None

    def translate(self, tbu: int, bank: int, iova: int, op: int, privileged: bool) -> Translation:
        utlb = self.utlbs[tbu]
        latency = self.costs["utlb_hit"]
        hit = self._lookup(utlb, bank, iova)
        if hit is not None:
            self.counters["utlb_hits"] += 1
        else:
            latency += self.costs["tlb_hit"]
            hit = self._lookup(self.tlb, bank, iova)
            if hit is not None:
                self.counters["tlb_hits"] += 1
                utlb.fill(hit[0][1], *hit)
        if hit is not None:
            page, cached = hit
            fault = 0 if permits(cached.leaf, op, privileged) else FSR_PF
            return Translation(cached, page, False, latency, fault, page[2])
        return self._walk(utlb, bank, iova, op, privileged, latency)

    def _walk(
        self, utlb: Cache, bank: int, iova: int, op: int, privileged: bool, latency: int
    ) -> Translation:
        region = iova >> 21
        found = self.tables.walk(bank, iova, self.walk_cache.lookup(region, (bank, region)))
        self.counters["walks"] += 1
        self.counters["walk_reads"] += found.reads
        latency += self.costs["walk_cache_hit"] + found.reads * self.costs["walk_mem"]
        if found.leaf is None:
            return Translation(None, None, True, latency, FSR_TF, found.level)
        page = page_of(bank, iova, found.level)
        if not permits(found.leaf, op, privileged):
            return Translation(None, page, True, latency, FSR_PF, found.level)
        # The cached copy must not change with the tables.
        cached = Cached(Leaf(found.leaf.pa, found.leaf.prot))
        for cache in (utlb, self.tlb):
            cache.fill(page[1], page, cached)
        if found.level == 3:
            self.walk_cache.fill(region, (bank, region), found.last_table)
        return Translation(cached, page, True, latency, 0, found.level)

    def invalidate(self, kind: int, bank: int, iova: int, size: int) -> None:
        """Do a TLBI at once, in every micro-TLB, the TLB and (but for TLBI_VA_LAST) the walk cache."""

        def overlaps(tag_bank: int, number: int, shift: int) -> bool:
            if kind == ev.TLBI_ALL:
                return True
            if tag_bank != bank:
                return False
            return kind == ev.TLBI_ASID or (number << shift < iova + size and iova < (number + 1) << shift)

        for cache in (*self.utlbs, self.tlb):
            cache.drop(lambda page: overlaps(page[0], page[1], LEVEL_SHIFT[page[2]]))
        if kind != ev.TLBI_VA_LAST:
            self.walk_cache.drop(lambda tag: overlaps(tag[0], tag[1], 21))
