"""Walk caches and the IPA cache, between the walker that asks and the caches that answer.

The rules (docs/translation.md, section 3):

* Walk caches of a stage are up to three caches, of depth 0, 1 and 2. A walk looks in depth 0 first; the first
  hit gives the table to read, and no other is looked at. Only tables below the walk's start level are looked
  for, since only those are ever entered.
* An entry covers what its table covers. Tables of one depth but different granules cover different amounts
  (2M, 32M or 512M at depth 0; 1M with short descriptors), so that an entry's size is also its granule's tag.
* Entries of stage 1 belong to (VMID, ASID) and are never global; those of stage 2 to the VMID.
* The tables that a walk has read and not taken from a walk cache are entered when it is known to have ended
  well. For stage 1 (and a stage 2 alone) that is when the whole access has; for the stage 2 of a nested
  regime, when that walk has itself found a leaf.
* The IPA cache holds what a walk of stage 2 found for a nested regime: one entry for the page (or run), asked
  with every size that it has held, smallest first. An IPA beyond the input size is not looked up.
"""

from __future__ import annotations

from dataclasses import replace

from .tlb import Owner, Tlb
from .walker import Ipas, Result, Table, Tables, table_reach

DEPTHS = (0, 1, 2)


class WalkCaches:
    """The walk caches of one stage: those of the depths that there are."""

    def __init__(self, caches: dict[int, Tlb]):
        self.caches = caches  # by depth
        self.hits = dict.fromkeys(DEPTHS, 0)


class WalkOf(Tables):
    """One walk of one stage: where it may start, and what it leaves behind if it ends well."""

    def __init__(self, walk_caches: WalkCaches, owner: Owner, address: int, *, short: bool = False):
        self.walk_caches = walk_caches
        self.owner = owner
        self.address = address  # IOVA, or IPA at stage 2
        self.short = short
        self.new: list[tuple[int, Table]] = []  # (granule, table) not taken from a walk cache

    def find(self, granule: int, start_depth: int) -> Table | None:
        for depth, cache in sorted(self.walk_caches.caches.items()):
            if depth >= start_depth:
                break
            entry = cache.lookup(self.owner, self.address, size=self._reach(granule, depth))
            if entry is not None:
                self.walk_caches.hits[depth] += 1
                return entry.payload
        return None

    def passed(self, granule: int, table: Table) -> None:
        self.new.append((granule, table))

    def enter(self) -> None:
        """The walk has ended well: each table that it read enters the cache of its depth, if there is one."""
        for granule, table in self.new:
            cache = self.walk_caches.caches.get(table.depth)
            if cache is not None:
                cache.insert(self.owner, self.address, self._reach(granule, table.depth), table)

    def _reach(self, granule: int, depth: int) -> int:
        return table_reach(granule, depth, short=self.short)


class IpasOf(Ipas):
    """The stage-2 translations of one nested walk."""

    def __init__(
        self, cache: Tlb | None, walk_caches: WalkCaches, owner: Owner, *, input_bits: int, runs: bool
    ):
        self.cache = cache
        self.walk_caches = walk_caches
        self.owner = owner
        self.input_bits = input_bits  # a wider IPA is not asked for: it faults
        self.runs = runs
        self.hits = 0

    def find(self, ipa: int) -> Result | None:
        if self.cache is None or ipa >> self.input_bits:
            return None
        entry = self.cache.lookup(self.owner, ipa)
        if entry is None:
            return None
        self.hits += 1
        found, walked_ipa = entry.payload
        return replace(found, pa=found.pa + ipa - walked_ipa)

    def tables(self, ipa: int) -> Tables:
        self.walk = WalkOf(self.walk_caches, self.owner, ipa)
        return self.walk

    def walked(self, ipa: int, found: Result) -> Result:
        found = with_covered_run(found, ipa, runs=self.runs)
        self.walk.enter()
        if self.cache is not None:
            self.cache.insert(self.owner, ipa, found.run_size, (found, ipa))
        return found


def with_covered_run(found: Result, address: int, *, runs: bool) -> Result:
    """`found`, its `run_size` made what one entry covers.

    That is the page, or the contiguous run where the regime has `runs`, unless the run's input and output are
    not aligned alike.
    """
    assert found.pa is not None
    alike = (found.pa - address) % found.run_size == 0
    return replace(found, run_size=found.run_size if runs and alike else found.page_size)
