"""Random machines, each made twice: in the core's words, and in those of the reference (H2, H3).

Tables are dense with random descriptors, all in one window below 4G: any address leads somewhere. Banks of
every format stand over them, with VMIDs and ASIDs in common.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from smmucore import shapes
from smmucore.memory import new_tables
from smmucore.mmu import Mmu, mmu, owners
from smmucore.pagetable import Memory
from smmucore.records import rows
from smmucore.regime import (
    AARCH64_S2,
    REGIME,
    XN_APART,
    XN_ARM,
    aarch32_lpae,
    aarch32_short,
    aarch64_s1,
    aarch64_s2,
    nested,
    start_level,
)
from tests.reference import smmu as reference
from tests.reference import walker
from tests.reference.tlb import Entry, Owner, Tlb

from .tables import random_descriptor
from .tools import RW, map_range, reference_memory

BASE = 0xC000_0000
ROOM = 1 << 19  # words
UPPER = (1 << 64) - 1

#: What a machine's banks are.
FORMATS = (
    "linux-4k",
    "aarch64-4k",
    "aarch64-16k",
    "aarch64-64k",
    "aarch64-64k-52",
    "stage2-4k",
    "stage2-16k",
    "stage2-64k",
    "nested-4k",
    "nested-16k",
    "nested-64k",
    "lpae",
    "short",
    "mixed",
)
#: In place of a replacement: each cache has one of its own.
ANY = "any"
PAGE_BITS = {"4k": 12, "16k": 14, "64k": 16}


class Watched(Tlb):
    """The reference's cache, with an eye on what it finds, and on what has to leave it."""

    evictions = 0
    found: Entry | None = None
    entered: tuple[int, Any] | None = None  # size and payload

    def lookup(self, owner: Any, address: int, *, size: int | None = None) -> Entry | None:
        self.found = super().lookup(owner, address, size=size)
        return self.found

    def insert(self, owner: Any, address: int, size: int, payload: Any) -> Entry | None:
        evicted = super().insert(owner, address, size, payload)
        self.evictions += evicted is not None
        self.entered = size, payload
        return evicted


@dataclass(frozen=True)
class WatchedShape(reference.Shape):
    def tlb(self, unit: int = 0) -> Watched:
        return Watched(self.sets, self.ways, self.replacement, self.seed, unit)


@dataclass
class Both:
    """One bank. `spots` are addresses that accesses are near, with a kind of access that the page allows."""

    regime: Any
    bank: reference.Bank
    spots: list[tuple[int, tuple[int, int]]] = field(default_factory=list)

    @property
    def upper(self) -> bool:
        """Whether there is an upper half that VA[55] selects."""
        return self.bank.regime.format == walker.AARCH64_S1 and not self.bank.regime.epd1

    def address(self, rng: random.Random, number: int) -> int:
        """An input of the bank made of a random number."""
        if not self.upper or number & 1:
            return number >> 1 & (1 << int(self.regime.ias)) - 1
        va = UPPER - (number >> 1 & (1 << int(self.regime.ias1)) - 1)
        if self.regime.sep != 63 and rng.random() < 0.7:
            va &= (2 << int(self.regime.sep)) - 1
        return va


@dataclass
class Machine:
    core: Mmu
    mem: Memory
    banks: list[Both]
    reference: reference.Smmu
    tbus: int

    def caches(self) -> list[tuple[str, Any, int, Watched, int | None]]:
        """(name, the core's, its unit, the reference's, depth of a walk cache) of all that there are."""
        core, ref = self.core, self.reference
        listed: list[Any] = [("micro-TLB", core.utlb, n, utlb, None) for n, utlb in enumerate(ref.utlbs)]
        listed.append(("TLB", core.tlb, 0, ref.tlb, None))
        for stage, prefix, walk_caches in (
            (1, "walk", ref.stage1_walk_caches),
            (2, "stage2_walk", ref.stage2_walk_caches),
        ):
            for depth, cache in walk_caches.caches.items():
                ours = getattr(core, f"{prefix}{depth}")
                listed.append((f"stage-{stage} walk cache {depth}", ours, 0, cache, depth))
        if ref.ipa_cache is not None:
            listed.append(("IPA cache", core.ipa, 0, ref.ipa_cache, None))
        return listed


# --- Tables


class World:
    """The window of memory, and the tables in it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.mem = Memory(np.zeros(ROOM, np.uint64), np.array([BASE], np.uint64), np.zeros(1, np.int64))
        self.areas: dict[Any, list[int]] = {}
        self.ipa_bits = rng.choice((40, 48))

    def fill(self, table: int, words: int, draw: Callable[[], int]) -> None:
        """A table of a few random descriptors over and over: as good as all different, and quicker."""
        some = np.array([draw() for _ in range(61)], np.uint64)
        picks = np.random.default_rng(self.rng.getrandbits(32)).integers(0, some.size, words)
        at = (table - BASE) >> 3
        self.mem.words[at : at + words] = some[picks]

    def tables(self, page_bits: int, oas: int, *, twins: bool = False) -> list[int]:
        """Tables of a granule, which point to one another. `twins`: every execute-never bit like its twin."""
        key = page_bits, oas, twins
        if key not in self.areas:
            words = 1 << (page_bits - 3)
            made = self.areas[key] = [int(new_tables(self.mem, words)) for _ in range(4)]

            def draw() -> int:
                desc = random_descriptor(self.rng, page_bits, made, oas)
                return same_twins(desc) if twins else desc

            for table in made:
                self.fill(table, words, draw)
        return self.areas[key]

    def short_tables(self) -> list[int]:
        """First-level tables of short descriptors, whose 16 KiB serve as second-level tables too."""
        if "short" not in self.areas:
            made = self.areas["short"] = [int(new_tables(self.mem, 2048)) for _ in range(2)]

            def one() -> int:
                draw = self.rng.random()
                if draw < 0.06:
                    return self.rng.getrandbits(32) & ~3
                flags = sum(bit for bit in (1 << 4, 1 << 10) if self.rng.random() < 0.8)
                desc = self.rng.getrandbits(32) | flags
                if draw < 0.5:
                    table = self.rng.choice(made) + 1024 * self.rng.randrange(16)
                    return (table if draw < 0.48 else desc & ~0x3FF) | (desc & 0x3FC) | 1
                return desc & ~3 | self.rng.choice((2, 2, 3))

            for table in made:
                self.fill(table, 2048, lambda: one() | one() << 32)
        return self.areas["short"]


def same_twins(desc: int) -> int:
    """`desc` with PXN as UXN, and PXNTable as XNTable, as Linux has them."""
    desc &= ~(1 << 53 | 1 << 59)
    return desc | (desc >> 54 & 1) << 53 | (desc >> 60 & 1) << 59


# --- Banks


def linux_bank(world: World) -> Both:
    ias = world.rng.choice((32, 39, 48))
    regime = rows(REGIME, 1)[0]
    regime.ttbr = world.rng.choice(world.tables(12, 48, twins=True)) | world.rng.getrandbits(16) << 48
    regime.ias, regime.start_level = ias, start_level(ias)
    bank = reference.Bank(
        walker.Regime(walker.AARCH64_S1, ttbr0=int(regime.ttbr), t0sz=64 - ias), runs=False, stage2_runs=False
    )
    return Both(regime, bank)


def aarch64_bank(world: World, page_bits: int, *, wide: bool = False) -> Both:
    rng = world.rng
    upper = page_bits if wide or rng.random() < 0.6 else rng.choice((12, 14, 16))
    oas = 52 if wide else world.ipa_bits
    words = {
        "ttbr0": rng.choice(world.tables(page_bits, oas)) | (0 if wide else rng.getrandbits(16) << 48),
        "ttbr1": rng.choice(world.tables(upper, oas)),
        "oas": oas,
        "epd1": rng.random() < 0.2,
        "affd": rng.random() < 0.1,
    }
    ias0, ias1 = (rng.choice((36, 39, 42, 48, 52 if wide else 47)) for _ in range(2))
    sep = rng.choice((None, 55)) if wide else rng.choice((None, 48, 55))
    arm, runs = rng.random() < 0.3, rng.random() < 0.9
    regime = aarch64_s1(
        **words,
        ias0=ias0,
        ias1=ias1,
        page_bits=page_bits,
        page_bits1=upper,
        sep=63 if sep is None else sep,
        execute=XN_ARM if arm else XN_APART,
        runs=runs,
    )
    described = walker.Regime(
        walker.AARCH64_S1,
        **words,
        t0sz=64 - ias0,
        t1sz=64 - ias1,
        granule=1 << page_bits,
        granule1=1 << upper,
        sep=sep,
        arm_execute_rules=arm,
    )
    return Both(regime, reference.Bank(described, runs=runs, stage2_runs=runs))


def stage2_bank(world: World, page_bits: int) -> Both:
    """A stage 2 of random descriptors that still maps nearly all of the window, in another order."""
    rng = world.rng
    # With 40 bits 2, 16 and 1 start tables, with 48 bits 1, 2 and 1.
    level = {12: 1, 14: 2, 16: 2}[page_bits] - (world.ipa_bits == 48)
    shift = page_bits + (3 - level) * (page_bits - 3)
    below = world.tables(page_bits, 44)
    root = int(new_tables(world.mem, 1 << (world.ipa_bits - shift)))
    world.fill(root, 1 << (world.ipa_bits - shift), lambda: random_descriptor(rng, page_bits, below, 44))
    world.mem.words[((root - BASE) >> 3) + (BASE >> shift)] = 0
    arm, affd, runs = rng.random() < 0.3, rng.random() < 0.1, rng.random() < 0.9
    regime = aarch64_s2(
        ttbr=root,
        ias=world.ipa_bits,
        level=level,
        page_bits=page_bits,
        oas=44,
        execute=XN_ARM if arm else XN_APART,
        affd=affd,
        runs=runs,
    )
    described = walker.Regime(
        walker.AARCH64_S2,
        ttbr0=root,
        t0sz=64 - world.ipa_bits,
        start_level=level,
        granule=1 << page_bits,
        oas=44,
        affd=affd,
        arm_execute_rules=arm,
    )
    return Both(regime, reference.Bank(described, runs=runs, stage2_runs=runs))


def narrower(stage2: Both) -> Both:
    """The same stage 2 with three input bits less."""
    regime = stage2.regime.copy()
    regime.ias -= 3
    described = replace(stage2.bank.regime, t0sz=stage2.bank.regime.t0sz + 3)
    return Both(regime, replace(stage2.bank, regime=described))


def map_window(world: World, stage2: Both, page_bits: int) -> None:
    """Map the tables to one another's pages: those of stage 1 keep their contents, at other IPAs."""
    size = 1 << page_bits
    used = int(world.mem.used[0]) * 8
    pages = list(range(BASE, BASE + used, size))
    for ipa in pages:
        draw = world.rng.random()
        pa = ipa if draw < 0.8 else world.rng.choice(pages)
        if draw > 0.03:
            assert map_range(world.mem, stage2.regime, ipa, size, pa, RW if draw < 0.97 else 2) == 0


def nested_bank(world: World, page_bits: int, stage2: Both) -> Both:
    first = aarch64_bank(world, page_bits)
    first.regime.runs = stage2.regime.runs
    runs = bool(stage2.regime.runs)
    both = reference.Bank(first.bank.regime, stage2.bank.regime, runs=runs, stage2_runs=runs)
    return Both(nested(first.regime, stage2.regime), both)


def lpae_bank(world: World) -> Both:
    rng = world.rng
    words: dict[str, Any] = {
        "ttbr0": rng.choice(world.tables(12, 40)),
        "ttbr1": rng.choice(world.tables(12, 40)),
        "t0sz": rng.choice((0, 0, 1, 2, 3)),
        "t1sz": rng.choice((0, 0, 1, 2)),
        "epd1": rng.random() < 0.3,
        "affd": rng.random() < 0.1,
    }
    return Both(aarch32_lpae(**words), reference.Bank(walker.Regime(walker.AARCH32_LPAE_S1, **words)))


def short_bank(world: World) -> Both:
    rng = world.rng
    words: dict[str, Any] = {
        "ttbr0": rng.choice(world.short_tables()),
        "ttbr1": rng.choice(world.short_tables()),
        "epd1": rng.random() < 0.3,
        "affd": rng.random() < 0.1,
        "afe": rng.random() < 0.7,
    }
    n = rng.choice((0, 0, 1, 2))
    described = walker.Regime(walker.AARCH32_SHORT, t0sz=n, **words)
    return Both(aarch32_short(n=n, **words), reference.Bank(described))


def banks_of(world: World, kind: str) -> list[Both]:
    """Four banks of a kind, or all kinds."""
    rng = world.rng
    if kind == "linux-4k":
        return [linux_bank(world) for _ in range(4)]
    if kind == "lpae":
        return [lpae_bank(world) for _ in range(4)]
    if kind == "short":
        return [short_bank(world) for _ in range(4)]
    if kind.startswith("aarch64"):
        page_bits, wide = PAGE_BITS[kind.split("-")[1]], kind.endswith("52")
        return [aarch64_bank(world, page_bits, wide=wide) for _ in range(4)]
    if kind.startswith("stage2"):
        return [stage2_bank(world, PAGE_BITS[kind.partition("-")[2]]) for _ in range(2)]
    page_bits = rng.choice((12, 14, 16))
    stage2 = stage2_bank(world, page_bits)
    first = PAGE_BITS.get(kind.partition("-")[2], 12)
    banks = [nested_bank(world, first if n else rng.choice((12, 14, 16)), stage2) for n in range(3)]
    if rng.random() < 0.5:
        banks[2] = nested_bank(world, first, narrower(stage2))  # the IPA cache has more than its input
    if kind == "mixed":
        banks += [linux_bank(world), aarch64_bank(world, rng.choice((12, 14, 16)))]
        banks += [lpae_bank(world), short_bank(world)]
    map_window(world, stage2, page_bits)
    return [*banks, stage2]


# --- Caches, and the machine


def random_shape(rng: random.Random, replacement: str) -> shapes.Shape:
    if replacement == ANY:
        replacement = rng.choice(shapes.NAMES)
    sets, ways = rng.choice(((1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (2, 4), (4, 2), (8, 4)))
    if replacement != "tree-plru" and rng.random() < 0.3:
        ways = 3
    return shapes.Shape(sets, ways, replacement, rng.randrange(1000))


def caches_of(rng: random.Random, replacement: str, tbus: int) -> shapes.Caches:
    def some(absent: float) -> shapes.Shape:
        return shapes.NONE if rng.random() < absent else random_shape(rng, replacement)

    return shapes.Caches(
        utlb=some(0),
        tlb=some(0),
        walk=(some(0.3), some(0.3), some(0.3)),
        stage2_walk=(some(0.3), some(0.3), some(0.3)),
        ipa=some(0.3),
        tbus=tbus,
    )


def watched(shape: shapes.Shape) -> WatchedShape:
    return WatchedShape(shape.sets, shape.ways, shape.replacement, shape.seed)


def by_depth(of_stage: tuple[shapes.Shape, ...]) -> dict[int, reference.Shape]:
    return {depth: watched(shape) for depth, shape in enumerate(of_stage) if shape.sets}


def random_machine(rng: random.Random, kind: str, replacement: str) -> Machine:
    world = World(rng)
    banks = banks_of(world, kind)
    vmids = [rng.choice((1, 1, 2)) for _ in banks]
    asids = [rng.choice((5, 6)) for _ in banks]
    for both, asid, vmid in zip(banks, asids, vmids, strict=True):
        both.bank = replace(both.bank, asid=asid, vmid=vmid)
    tbus = rng.choice((1, 2, 3))
    caches = caches_of(rng, replacement, tbus)
    regimes = rows(REGIME, len(banks))
    for n, both in enumerate(banks):
        regimes[n] = both.regime
        both.regime = regimes[n]
    machine = reference.Smmu(
        [both.bank for both in banks],
        reference_memory(world.mem),
        utlb=watched(caches.utlb),
        tlb=watched(caches.tlb),
        tbus=tbus,
        stage1_walk_caches=by_depth(caches.walk),
        stage2_walk_caches=by_depth(caches.stage2_walk),
        ipa_cache=watched(caches.ipa) if caches.ipa.sets else None,
    )
    return Machine(mmu(caches, owners(regimes, asids, vmids)), world.mem, banks, machine, tbus)


# --- What the caches hold


def owner_names(machine: Machine) -> dict[int, Owner]:
    """The reference's word for each owner number of the core."""
    named = {}
    for row, both in zip(machine.core.owners, machine.banks, strict=True):
        vmid, asid = int(row.vmid), int(row.asid)
        named[int(row.stage2)] = Owner(vmid, stage=2)
        if both.regime.format != AARCH64_S2:
            named[int(row.shared)] = Owner(vmid)
            named[int(row.own)] = Owner(vmid, asid)
    return named
