"""One random trace, carried out by the core and by the reference (H2; docs/translation.md).

Each answer is compared; at every invalidation, and now and then, what all caches hold, in their order of
replacement; at the end every counter.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np

from smmucore import mmu
from smmucore.invalidate import invalidate
from smmucore.leaf import STAGE_2, TABLE_OF_STAGE_1
from smmucore.mmu import FROM_TLB, FROM_UTLB, FROM_WALK, rights_needed
from smmucore.regime import AARCH32_SHORT, AARCH64_S2, LINUX_4K
from tests.reference import smmu as reference
from tests.reference import walker
from tests.reference.tlb import Tlb
from traces import events as ev

from .machines import UPPER, Both, Machine, owner_names, random_machine, same_twins
from .short_tables import get32, put32
from .tables import FSR_OF, KINDS
from .tools import SOURCE_OF, K, put

SELDOM = ("TLBI_ALL", "TLBI_VMID")
TLBI_KINDS = [*(kind for kind in reference.KINDS if kind not in SELDOM), *SELDOM]
#: What VA kinds do for a bank with a stage 2 alone.
AS_IPAS2 = {
    kind: reference.TLBI_IPAS2_LAST if kind in reference.LAST_KINDS else reference.TLBI_IPAS2
    for kind in reference.VA_KINDS
}
#: Everything goes seldom: else caches are never full.
WEIGHTS = [4] * (len(TLBI_KINDS) - 2) + [1, 1]
SIZES = (1, 4 * K, 4 * K, 64 * K, 2 << 20, 1 << 30, 1 << 40)


def words_of(kind: tuple[int, int]) -> dict[str, bool]:
    op, private = kind
    return {"write": op == ev.WRITE, "instruction": op == ev.EXEC, "privileged": bool(private)}


def fresh(machine: Machine, both: Both, iova: int, kind: tuple[int, int]) -> walker.Result:
    """What the tables say, without any cache."""
    memory = machine.reference.memory
    if both.bank.stage2 is None:
        return walker.walk(both.bank.regime, memory, iova, **words_of(kind))
    return walker.walk_nested(both.bank.regime, both.bank.stage2, memory, iova, **words_of(kind))


def reach_classes() -> dict[int, int]:
    """The size class of a walk-cache entry by what it covers."""
    depths = range(3)
    classes = {walker.table_reach(1 << bits, depth): bits - 10 for bits in (12, 14, 16) for depth in depths}
    return {**classes, walker.table_reach(4 * K, 0, short=True): 1}


class Lockstep:
    """A machine, its trace and what has happened in it."""

    def __init__(self, seed: int, kind: str, replacement: str, tally: Counter[Any]) -> None:
        self.rng = random.Random(f"{seed} {kind} {replacement}")
        self.seed = seed
        self.kind = kind
        self.replacement = replacement
        self.tally = tally
        self.machine = random_machine(self.rng, kind, replacement)
        self.names = owner_names(self.machine)
        self.classes = reach_classes()
        self.counts: Counter[str] = Counter()
        self.changed: dict[tuple[int, int], int] = {}  # (address, bytes) of descriptors, and what they were
        numbers = [self.rng.getrandbits(64) for _ in range(10)]
        for both in self.machine.banks:
            self.choose_spots(both, numbers)

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.kind}, {self.replacement}, access {self.counts['accesses']}:"

    def choose_spots(self, both: Both, numbers: list[int]) -> None:
        """Addresses that lead somewhere, mostly; some of them those of other banks too."""
        rng = self.rng
        for attempt in range(120):
            number = rng.choice(numbers)
            if rng.random() < 0.6:
                number ^= rng.getrandbits(12) << rng.choice((13, 15, 17, 22, 31))
            iova = both.address(rng, number)
            kind = rng.choice(KINDS)
            if fresh(self.machine, both, iova, kind).fault is None or attempt % 20 == 0:
                both.spots.append((iova, kind))
        rng.shuffle(both.spots)

    # --- Events

    def run(self, accesses: int) -> None:
        rng = self.rng
        for n in range(1, accesses + 1):
            self.access()
            if rng.random() < 0.05:
                self.tlbi()
            if rng.random() < 0.03:
                self.remap()
            if n % 250 == 0:
                self.same_contents()
        self.tlbi(rng.choice(SELDOM))
        self.same_counts(accesses)

    def near(self, both: Both) -> tuple[int, tuple[int, int]]:
        """An address at or near a spot, and a kind of access."""
        rng = self.rng
        whose = both if rng.random() < 0.8 else rng.choice(self.machine.banks)
        iova, kind = whose.spots[min(int(rng.expovariate(0.2)), len(whose.spots) - 1)]
        draw = rng.random()
        if draw < 0.5:
            iova ^= rng.getrandbits(12)
        elif draw < 0.7:
            iova ^= 1 << rng.randrange(12, 32)
        elif draw < 0.72:
            iova = rng.getrandbits(64)
        return iova, kind if rng.random() < 0.85 else rng.choice(KINDS)

    def access(self) -> None:
        machine, rng = self.machine, self.rng
        b = rng.randrange(len(machine.banks))
        both = machine.banks[b]
        iova, kind = self.near(both)
        tbu = rng.randrange(machine.tbus)
        need = np.uint64(rights_needed(*kind))
        fault, level, pa, source, reads = map(
            int, mmu.translate(machine.core, machine.mem, both.regime, tbu, b, np.uint64(iova), need)
        )
        want = machine.reference.access(tbu, b, iova, **words_of(kind))
        counted = sum(word is not None for _, word in want.reads)
        got = source, fault, level & 3, pa, reads
        expected = SOURCE_OF[want.where], FSR_OF[want.fault], want.level, want.pa or 0, counted
        assert got == expected, f"{self} bank {b} TBU {tbu} {iova:#x} {kind} {both.bank}"
        if fault:
            of_stage_2, of_table = bool(level & STAGE_2), bool(level & TABLE_OF_STAGE_1)
            assert (of_stage_2, of_table) == (want.stage == 2, want.s1ptw), (
                f"{self} bank {b} {iova:#x} {kind}"
            )
        self.note(tbu, b, iova, kind, want)
        for name, more in {
            "accesses": 1,
            "utlb_hits": source == FROM_UTLB,
            "tlb_hits": source == FROM_TLB,
            "walks": source == FROM_WALK,
            "walk_reads": reads,
            "faults": fault != 0,
        }.items():
            self.counts[name] += more

    def note(self, tbu: int, b: int, iova: int, kind: tuple[int, int], want: Any) -> None:
        """Count what this access was an example of."""
        machine, tally = self.machine, self.tally
        both = machine.banks[b]
        tally["accesses", self.kind] += 1
        tally["answer", want.where, want.fault] += 1
        tally["fault", want.fault, want.stage, want.s1ptw] += 1
        cache = machine.reference.utlbs[tbu] if want.where == "utlb" else machine.reference.tlb
        if want.where != "walk":
            entry = cache.found
            kind_of = "global" if entry.owner.asid is None and entry.owner.stage == 1 else "own"
            tally[kind_of, want.where, "another's" if entry.payload[0].filled_by != b else "its own"] += 1
        elif want.fault is None:
            size, (result, _) = cache.entered
            result.filled_by = b
            tally["size", size] += 1
        if self.rng.random() < 0.25:
            true = fresh(machine, both, iova, kind)
            if (true.pa, true.fault) != (want.pa, want.fault):
                tally["stale", want.where] += 1

    def tlbi(self, kind: str = "") -> None:
        """One invalidation, mostly aimed at something that is there."""
        machine, rng = self.machine, self.rng
        kind = kind or rng.choices(TLBI_KINDS, WEIGHTS)[0]
        b = rng.randrange(len(machine.banks))
        caches = machine.caches()
        entries = rng.choice(caches)[3].entries()
        iova = rng.getrandbits(64)
        entry = rng.choice(entries) if entries else None
        if entry is not None and rng.random() < 0.9:
            if rng.random() < 0.7:
                b = rng.choice(
                    [n for n, bank in enumerate(machine.reference.banks) if bank.vmid == entry.owner.vmid]
                )
            iova = entry.page * entry.size + rng.randrange(entry.size)
            if rng.random() < 0.2:
                iova = (iova - rng.choice(SIZES)) & UPPER
        size = rng.choice(SIZES) if rng.random() < 0.8 else rng.getrandbits(rng.randrange(64))
        if rng.random() < 0.05:
            size = 0
        elif entry is not None and rng.random() < 0.2:  # to its first byte, or from the one behind its last
            iova = entry.page * entry.size + rng.choice((entry.size, -size))
            iova &= UPPER
        before = [len(cache.entries()) for _, _, _, cache, _ in caches]
        invalidate(machine.core, getattr(ev, kind), b, np.uint64(iova), np.uint64(size))
        machine.reference.tlbi(kind, b, iova, size)
        alone = machine.banks[b].regime.format == AARCH64_S2
        does = AS_IPAS2.get(kind, kind) if alone else kind
        for (name, _, _, cache, _), count in zip(caches, before, strict=True):
            self.tally["tlbi", does, name] += count - len(cache.entries())
        self.tally["tlbi", kind, "alone" if alone else "stage 1"] += 1
        self.same_contents()

    def remap(self) -> None:
        """Change a descriptor that a walk reads, or put it back, and tell no cache."""
        machine, rng = self.machine, self.rng
        self.tally["remaps"] += 1
        if self.changed and rng.random() < 0.55:
            (pa, size), old = self.changed.popitem()
            self.write(pa, size, old)
            return
        both = rng.choice(machine.banks)
        iova, kind = self.near(both)
        reads = [pa for pa, word in fresh(machine, both, iova, kind).reads if word is not None]
        if not reads:
            return
        pa = rng.choice((reads[-1], rng.choice(reads)))
        size = 4 if both.regime.format == AARCH32_SHORT else 8
        old = get32(machine.mem, pa) if size == 4 else machine.reference.memory.read64(pa)
        assert old is not None
        self.changed.setdefault((pa, size), old)
        bits = (0, 1, 6, 7, 10, *[11] * 8, 52, 53, 54, 61, 62, *range(12, 36)) if size == 8 else range(32)
        new = old ^ 1 << rng.choice(bits)
        self.write(pa, size, same_twins(new) if both.regime.format == LINUX_4K else new)

    def write(self, pa: int, size: int, desc: int) -> None:
        if size == 4:
            put32(self.machine.mem, pa, desc)
        else:
            put(self.machine.mem, pa, desc)

    # --- Comparisons

    def same_contents(self) -> None:
        for name, ours, unit, theirs, depth in self.machine.caches():
            lru = theirs.replacement == "lru"
            assert self.core_sets(ours, unit, lru=lru) == self.reference_sets(theirs, depth), (
                f"{self} {name} {unit}"
            )

    def core_sets(self, cache: Any, unit: int, *, lru: bool) -> list[list[Any]]:
        """By set the entries' (owner, class, number), by way; LRU: the latest first, without empty ones."""
        ways = int(cache.info.ways)
        listed: list[Any] = []
        for word in map(int, cache.words[unit]):
            owner = self.names.get(word >> 12 & 0x1FF)
            listed.append((owner, word >> 21 & 31, word >> 26) if word >> 12 else None)
        sets = [listed[at : at + ways] for at in range(0, len(listed), ways)]
        return [[entry for entry in one if entry is not None] for one in sets] if lru else sets

    def reference_sets(self, cache: Tlb, depth: int | None) -> list[list[Any]]:
        """The same of the reference."""

        def key(entry: Any) -> Any:
            if entry is None:
                return None
            size = entry.size.bit_length() - 12 if depth is None else self.classes[entry.size]
            return entry.owner, size, entry.page & (1 << 38) - 1

        sets = [[key(entry) for entry in one] for one in cache._slots]
        if cache.replacement != "lru":
            return sets
        ordered = [
            [one[way] for way in reversed(order)] for one, order in zip(sets, cache._order, strict=True)
        ]
        return [[entry for entry in one if entry is not None] for one in ordered]

    def same_counts(self, accesses: int) -> None:
        machine, counts = self.machine.reference, self.counts
        theirs = machine.counts()
        assert dict(counts) == {name: theirs[name] for name in counts}
        assert counts["accesses"] == accesses == counts["utlb_hits"] + counts["tlb_hits"] + counts["walks"]
        # Hits + misses of each level are what the level before has missed.
        assert sum(utlb.hits for utlb in machine.utlbs) == counts["utlb_hits"]
        assert sum(utlb.hits + utlb.misses for utlb in machine.utlbs) == accesses
        assert machine.tlb.hits == counts["tlb_hits"]
        assert machine.tlb.misses == counts["walks"]
        for name, _, _, cache, _ in self.machine.caches():
            self.tally["hits", name] += cache.hits
            self.tally["evictions", name, cache.replacement] += cache.evictions
