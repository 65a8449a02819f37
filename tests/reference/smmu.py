"""The whole translation machine: TBUs, banks, TLBs, walk caches, IPA cache, invalidation.

Written from docs/translation.md, sections 2 to 5, and from docs/model.md, section 3. The order of an access:

1. The TBU's **micro-TLB**. A hit is no use of the TLB's entry.
2. The **TLB**. A hit is copied into the micro-TLB with the key that it has, whatever the access may do there.
3. A **walk**. If it translates without a fault, permissions included, the TLB and then the micro-TLB are
   filled with one entry: of the page (or run), of the smaller of both stages' for a nested regime.

A hit whose rights do not allow the access is a hit and a permission fault, of stage 1 if that refuses, else
of stage 2; the entry stays. See `walk_caches.py` for what a walk looks in and fills.

`walk_reads` counts the descriptors that were read, of both stages: a read that aborts is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .tlb import LRU, Entry, Owner, Tlb
from .walk_caches import IpasOf, WalkCaches, WalkOf, with_covered_run
from .walker import (
    AARCH32_SHORT,
    PERMISSION,
    Memory,
    Regime,
    Result,
    input_address,
    permits,
    walk,
    walk_nested,
)

TLBI_VA = "TLBI_VA"
TLBI_VA_LAST = "TLBI_VA_LAST"
TLBI_VAA = "TLBI_VAA"
TLBI_VAA_LAST = "TLBI_VAA_LAST"
TLBI_ASID = "TLBI_ASID"
TLBI_VMID = "TLBI_VMID"
TLBI_IPAS2 = "TLBI_IPAS2"
TLBI_IPAS2_LAST = "TLBI_IPAS2_LAST"
TLBI_ALL = "TLBI_ALL"
TLBI_SYNC = "TLBI_SYNC"
VA_KINDS = (TLBI_VA, TLBI_VA_LAST, TLBI_VAA, TLBI_VAA_LAST)
LAST_KINDS = (TLBI_VA_LAST, TLBI_VAA_LAST, TLBI_IPAS2_LAST)
KINDS = (*VA_KINDS, TLBI_ASID, TLBI_VMID, TLBI_IPAS2, TLBI_IPAS2_LAST, TLBI_ALL, TLBI_SYNC)


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


@dataclass(frozen=True)
class Bank:
    """A context bank: a stage 1, a stage 2 (`regime` is one), or a stage 1 nested in `stage2`."""

    regime: Regime
    stage2: Regime | None = None
    #: None: as Linux gives them, bank b has ASID b and VMID b + 1.
    asid: int | None = None
    vmid: int | None = None
    #: Whether an entry may cover a contiguous run, of `regime` and of `stage2`.
    runs: bool = True
    stage2_runs: bool = True


@dataclass(frozen=True)
class Shape:
    """What a cache is made like."""

    sets: int
    ways: int
    replacement: str = LRU
    seed: int = 0

    def tlb(self, unit: int = 0) -> Tlb:
        """Build it. Micro-TLBs have their TBU's number as `unit`, all other caches 0."""
        return Tlb(self.sets, self.ways, self.replacement, self.seed, unit)


class Smmu:
    """The machine above. Walk caches are given by depth: {0: Shape(16, 4)} has those of depth 0 only.

    Everything is public, to be looked at: `utlbs[tbu]`, `tlb`, `ipa_cache` (or None), `stage1_walk_caches`
    and `stage2_walk_caches` (each with `caches` and `hits` by depth).
    """

    def __init__(
        self,
        banks: Sequence[Bank],
        memory: Memory,
        *,
        utlb: Shape,
        tlb: Shape,
        tbus: int = 1,
        stage1_walk_caches: Mapping[int, Shape] | None = None,
        stage2_walk_caches: Mapping[int, Shape] | None = None,
        ipa_cache: Shape | None = None,
    ):
        self.banks = [
            replace(
                bank,
                asid=number if bank.asid is None else bank.asid,
                vmid=number + 1 if bank.vmid is None else bank.vmid,
            )
            for number, bank in enumerate(banks)
        ]
        self.memory = memory
        self.utlbs = [utlb.tlb(unit=tbu) for tbu in range(tbus)]
        self.tlb = tlb.tlb()
        self.stage1_walk_caches = _walk_caches(stage1_walk_caches)
        self.stage2_walk_caches = _walk_caches(stage2_walk_caches)
        self.ipa_cache = None if ipa_cache is None else ipa_cache.tlb()
        self.accesses = 0
        self.utlb_hits = 0
        self.tlb_hits = 0
        self.walks = 0
        self.walk_reads = 0
        self.faults = 0
        self.ipa_hits = 0

    def counts(self) -> dict[str, int]:
        """Every counter by name: `stage1_hits_0` are the hits in the stage-1 walk cache of depth 0."""
        names = ("accesses", "utlb_hits", "tlb_hits", "walks", "walk_reads", "faults", "ipa_hits")
        counted = {name: getattr(self, name) for name in names}
        for stage, walk_caches in (("stage1", self.stage1_walk_caches), ("stage2", self.stage2_walk_caches)):
            counted |= {f"{stage}_hits_{depth}": hits for depth, hits in walk_caches.hits.items()}
        return counted

    # --- Access

    def access(
        self,
        tbu: int,
        bank: int,
        iova: int,
        *,
        write: bool = False,
        privileged: bool = False,
        instruction: bool = False,
    ) -> Outcome:
        """Translate one access and count it. For a bank that is a stage 2 alone, `iova` is the IPA."""
        self.accesses += 1
        access = {"write": write, "privileged": privileged, "instruction": instruction}
        utlb = self.utlbs[tbu]
        owner = self._owner(self.banks[bank])
        iova = input_address(self.banks[bank].regime, iova)

        entry = utlb.lookup(owner, iova)
        if entry is not None:
            self.utlb_hits += 1
            return self._hit("utlb", entry, iova, access)

        entry = self.tlb.lookup(owner, iova)
        if entry is not None:
            self.tlb_hits += 1
            utlb.insert(entry.owner, iova, entry.size, entry.payload)
            return self._hit("tlb", entry, iova, access)

        self.walks += 1
        result = self._walk(self.banks[bank], owner, iova, access)
        self.walk_reads += sum(descriptor is not None for _, descriptor in result.reads)
        if result.fault is None:
            fills = owner if owner.stage == 2 or result.ng else Owner(owner.vmid)
            for cache in (self.tlb, utlb):
                cache.insert(fills, iova, result.run_size, (result, iova))
        return self._outcome("walk", result)

    def _hit(self, where: str, entry: Entry, iova: int, access: dict[str, bool]) -> Outcome:
        result, walked_iova = entry.payload
        # An entry maps its whole page (or run) linearly: the output moves as the input does.
        moved = iova - walked_iova
        for stage in (result.stage1, result.stage2) if result.stage1 is not None else (result,):
            if not permits(stage, **access):
                ipa = result.ipa + moved if stage is result.stage2 else None
                refused = Result(fault=PERMISSION, level=stage.level, stage=stage.stage, ipa=ipa)
                return self._outcome(where, refused)
        return self._outcome(where, replace(result, pa=result.pa + moved, reads=()))

    def _outcome(self, where: str, result: Result) -> Outcome:
        if result.fault is not None:
            self.faults += 1
        ipa = result.ipa if result.fault is not None else None
        return Outcome(
            where, result.pa, result.fault, result.level, result.reads, result.stage, result.s1ptw, ipa
        )

    def _walk(self, bank: Bank, owner: Owner, iova: int, access: dict[str, bool]) -> Result:
        walk_caches = self.stage1_walk_caches if bank.regime.stage == 1 else self.stage2_walk_caches
        tables = WalkOf(walk_caches, owner, iova, short=bank.regime.format == AARCH32_SHORT)
        if bank.stage2 is None:
            result = walk(bank.regime, self.memory, iova, tables=tables, **access)
            if result.fault is None:
                result = with_covered_run(result, iova, runs=bank.runs)
        else:
            ipas = IpasOf(
                self.ipa_cache,
                self.stage2_walk_caches,
                Owner(owner.vmid, stage=2),
                input_bits=64 - bank.stage2.t0sz,
                runs=bank.stage2_runs,
            )
            result = walk_nested(
                bank.regime, bank.stage2, self.memory, iova, tables=tables, ipas=ipas, **access
            )
            self.ipa_hits += ipas.hits
            if result.fault is None:
                assert result.stage1 is not None
                assert result.stage2 is not None
                first = with_covered_run(result.stage1, iova, runs=bank.runs)
                result = replace(result, run_size=min(first.run_size, result.stage2.run_size))
        if result.fault is None:
            tables.enter()
        return result

    @staticmethod
    def _owner(bank: Bank) -> Owner:
        assert bank.vmid is not None
        return Owner(bank.vmid, stage=2) if bank.regime.stage == 2 else Owner(bank.vmid, bank.asid)

    # --- Invalidation

    def tlbi(self, kind: str, bank: int = 0, iova: int = 0, size: int = 0) -> None:
        """Invalidate as `bank` asks; kinds with a range use [iova, iova + size), IPAs where stage 2 is meant.

        For a bank that is a stage 2 alone, VA kinds do what the IPAS2 kinds do, and TLBI_ASID does nothing.
        VA kinds begin at the input address that SEP makes of `iova`; a range ends at 2^64 at the latest.
        """
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}: expected one of {KINDS}")
        asked_by = self.banks[bank]
        vmid = asked_by.vmid
        assert vmid is not None
        if asked_by.regime.stage == 2 and kind in VA_KINDS:
            kind = TLBI_IPAS2_LAST if kind in LAST_KINDS else TLBI_IPAS2
        elif kind in VA_KINDS:
            iova = input_address(asked_by.regime, iova)

        both_stages = [*self.utlbs, self.tlb]
        tables1 = [] if kind in LAST_KINDS else list(self.stage1_walk_caches.caches.values())
        tables2 = [] if kind in LAST_KINDS else list(self.stage2_walk_caches.caches.values())
        ipas = [] if self.ipa_cache is None else [self.ipa_cache]

        if kind == TLBI_ALL:
            for cache in both_stages + tables1 + tables2 + ipas:
                cache.invalidate_all()
        elif kind == TLBI_VMID:
            for cache in both_stages + tables1 + tables2 + ipas:
                cache.invalidate_vmid(vmid)
        elif kind == TLBI_ASID and asked_by.regime.stage == 1:
            for cache in both_stages + tables1:
                cache.invalidate_owner(Owner(vmid, asked_by.asid))
        elif kind in (TLBI_VA, TLBI_VA_LAST):
            for cache in both_stages + tables1:
                cache.invalidate_va(Owner(vmid, asked_by.asid), iova, size)
        elif kind in (TLBI_VAA, TLBI_VAA_LAST):
            for cache in both_stages + tables1:
                cache.invalidate_vaa(vmid, iova, size)
        elif kind in (TLBI_IPAS2, TLBI_IPAS2_LAST):
            for cache in both_stages + tables2 + ipas:
                cache.invalidate_ipas2(vmid, iova, size)
        # TLBI_SYNC waits, and empties nothing.


def _walk_caches(shapes: Mapping[int, Shape] | None) -> WalkCaches:
    return WalkCaches({depth: shape.tlb() for depth, shape in sorted((shapes or {}).items())})
