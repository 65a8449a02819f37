"""Micro-TLB, TLB, one walk cache and walk, one access after the other.

The machine of banks without VMIDs or stage 2, told apart by their ASIDs. `smmu.py` has the rest.
Where the two differ (an aborted read is counted here, and a refused TLB hit not copied), that one is right.

The rules, in the order of an access:

1. **Micro-TLB** hit: `utlb_hits`. The TLB is not looked at and does not see a use.
2. **TLB** hit: `tlb_hits`. The entry is copied into the micro-TLB.
3. Else a **walk**: `walks`, and `walk_reads` counts its table reads, a read that aborts included.
   The **walk cache** is keyed by ASID and IOVA >> 21, exists for the 4K granule of the 64-bit descriptor
   formats only, and holds the address of a level-3 table with the hierarchical attributes gathered on the
   way there. A hit costs one read, at level 3; a miss costs a full walk from TTBR. So a region mapped by a
   2M block (or larger) never hits: its walks are full.
4. A walk that translates fills the TLB and the micro-TLB. If its leaf is at level 3 and the walk was full, it
   fills the walk cache as well. A contiguous run is one entry of the run's size, unless `contiguous` is off.
   An entry whose descriptor has nG 0 is global; walk-cache entries never are.
5. **An access that faults fills nothing**: a walk that faults, at whatever level and for whatever reason, is
   not cached anywhere. It leaves all three as they were, even when it found a level-3 table on its way. Only
   the uses that its lookups made stay.
   A hit whose permissions do not allow the access is a hit, and a permission fault, and makes no walk: only
   software's invalidation makes the TLB look again. Nothing is copied upwards then.

So utlb_hits + tlb_hits + walks = accesses always, and walks = full walks + walk_cache_hits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .tlb import Tlb
from .walker import AARCH32_SHORT, PERMISSION, K, Memory, Regime, Result, permits, walk, walk_from_last_table

WALK_CACHE_REACH = 1 << 21  # what one level-3 table of the 4K granule maps


@dataclass(frozen=True)
class Outcome:
    """What one access got."""

    where: str  # "utlb", "tlb" or "walk"
    pa: int | None
    fault: str | None
    level: int  # of the leaf, or of the fault
    reads: tuple[tuple[int, int | None], ...] = ()
    stage: int = 1  # of the fault
    s1ptw: bool = False  # the fault is stage 2's, for the address of a stage-1 table
    ipa: int | None = None  # what a nested stage 2 was asked for when it faulted


class TwoLevel:
    """The machine above. `regimes` gives the stage-1 regime of each ASID."""

    def __init__(
        self,
        regimes: Mapping[int, Regime],
        memory: Memory,
        utlb: Tlb,
        tlb: Tlb,
        walk_cache: Tlb | None = None,
        *,
        contiguous: bool = True,
    ):
        self.regimes = regimes
        self.memory = memory
        self.utlb = utlb
        self.tlb = tlb
        self.walk_cache = walk_cache
        self.contiguous = contiguous
        self.accesses = 0
        self.utlb_hits = 0
        self.tlb_hits = 0
        self.walks = 0
        self.walk_cache_hits = 0
        self.walk_reads = 0
        self.faults = 0

    def access(
        self,
        asid: int,
        iova: int,
        *,
        write: bool = False,
        privileged: bool = False,
        instruction: bool = False,
    ) -> Outcome:
        """Translate one access and count it."""
        self.accesses += 1

        entry = self.utlb.lookup(asid, iova)
        if entry is not None:
            self.utlb_hits += 1
            return self._hit("utlb", entry.payload, iova, write, privileged, instruction)

        entry = self.tlb.lookup(asid, iova)
        if entry is not None:
            self.tlb_hits += 1
            outcome = self._hit("tlb", entry.payload, iova, write, privileged, instruction)
            if outcome.fault is None:
                self.utlb.insert(entry.asid, iova, entry.size, entry.payload)
            return outcome

        self.walks += 1
        result = self._walk(asid, iova, write, privileged, instruction)
        self.walk_reads += len(result.reads)
        if result.fault is not None:
            self.faults += 1
            return Outcome("walk", None, result.fault, result.level, result.reads)
        size = result.run_size if self.contiguous else result.page_size
        owner = asid if result.ng else None
        self.tlb.insert(owner, iova, size, (result, iova))
        self.utlb.insert(owner, iova, size, (result, iova))
        return Outcome("walk", result.pa, None, result.level, result.reads)

    def _hit(
        self,
        where: str,
        payload: tuple[Result, int],
        iova: int,
        write: bool,
        privileged: bool,
        instruction: bool,
    ) -> Outcome:
        result, walked_iova = payload
        if not permits(result, write=write, privileged=privileged, instruction=instruction):
            self.faults += 1
            return Outcome(where, None, PERMISSION, result.level)
        # An entry maps its whole page (or run) linearly: the output moves as the input does.
        assert result.pa is not None
        return Outcome(where, result.pa + iova - walked_iova, None, result.level)

    def _walk(self, asid: int, iova: int, write: bool, privileged: bool, instruction: bool) -> Result:
        regime = self.regimes[asid]
        has_walk_cache = (
            self.walk_cache is not None and regime.granule == 4 * K and regime.format != AARCH32_SHORT
        )
        access = {"write": write, "privileged": privileged, "instruction": instruction}
        if not has_walk_cache:
            return walk(regime, self.memory, iova, **access)
        assert self.walk_cache is not None
        cached = self.walk_cache.lookup(asid, iova)
        if cached is not None:
            self.walk_cache_hits += 1
            return walk_from_last_table(regime, self.memory, iova, cached.payload, **access)
        result = walk(regime, self.memory, iova, **access)
        if result.fault is None and result.last_table is not None:
            self.walk_cache.insert(asid, iova, WALK_CACHE_REACH, result.last_table)
        return result

    def invalidate_all(self) -> None:
        """TLBIALL: all three."""
        for cache in self._caches():
            cache.invalidate_all()

    def invalidate_asid(self, asid: int) -> None:
        """TLBIASID: that ASID's entries in all three; global entries stay."""
        for cache in self._caches():
            cache.invalidate_asid(asid)

    def invalidate_range(
        self, start: int, length: int, asid: int | None = None, *, last_level: bool = False
    ) -> None:
        """TLBIVA over a range: all three. With `last_level`, TLBIVAL: the walk cache keeps its tables."""
        for cache in self._caches():
            if not (last_level and cache is self.walk_cache):
                cache.invalidate_range(start, length, asid)

    def _caches(self) -> list[Tlb]:
        return [cache for cache in (self.utlb, self.tlb, self.walk_cache) if cache is not None]
