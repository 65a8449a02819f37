"""Micro-TLB, TLB, walk cache and walk count what the plain-Python machine counts, access by access (H2)."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from smmucore import mmu
from smmucore.invalidate import invalidate as tlbi
from smmucore.mmu import FROM_TLB, FROM_UTLB, FROM_WALK
from smmucore.registers import FSR_PF
from smmucore.spaces import linux
from smmucore.translate import Translator
from tests.reference.smmu import KINDS, Bank, Shape, Smmu
from traces import events as ev

from .tools import (
    FSR_OF,
    RW,
    SOURCE_OF,
    G,
    K,
    M,
    Row,
    access_of,
    accesses,
    events,
    reference_memory,
    regimes_of,
    shapes,
)

TLBI_NAMES = {getattr(ev, name): name for name in KINDS}

Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def pair(ias: list[int], geometry: Geometry, mapped: list[Row] | None = None) -> tuple[Translator, Smmu]:
    """The core with `mapped` in its tables, and the reference over the same words."""
    translator = Translator.empty(linux(*ias), caches=shapes(*geometry))
    translator.feed(events(mapped or []))
    return translator, reference(translator, geometry)


def reference(translator: Translator, geometry: Geometry) -> Smmu:
    utlb, tlb, walk_cache = (Shape(*size) for size in geometry)
    return Smmu(
        [Bank(regime, runs=False) for regime in regimes_of(translator).values()],
        reference_memory(translator.mem),
        utlb=utlb,
        tlb=tlb,
        stage1_walk_caches={0: walk_cache},
    )


def same_counts(translator: Translator, machine: Smmu) -> None:
    ours, theirs = translator.counts, machine.counts()
    assert ours == {name: theirs[name] for name in ours}
    assert ours["utlb_hits"] + ours["tlb_hits"] + ours["walks"] == ours["accesses"]


def lockstep(translator: Translator, machine: Smmu, rows: list[Row]) -> None:
    """Carry out accesses or invalidations in both; every answer must be the same."""
    answers = translator.feed(events(rows))
    for row, answer in zip(rows, answers, strict=True):
        if row.op == ev.TLBI:
            machine.tlbi(TLBI_NAMES[row.prot], row.requester, row.iova, row.size)
        elif row.op <= ev.EXEC:
            want = machine.access(0, row.requester, row.iova, **access_of(row))
            got = tuple(map(int, (answer.source, answer.fault, answer.level, answer.pa, answer.reads)))
            reads = sum(word is not None for _, word in want.reads)
            expected = SOURCE_OF[want.where], FSR_OF[want.fault], want.level, want.pa or 0, reads
            assert got == expected, row


# --- Random traces, everything mixed


class Scene:
    """Two banks with pages of all sizes in few sets, and a random next event of any kind."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.mapped: list[Row] = []
        for bank in (0, 1):
            for n in range(24):  # pages in three level-3 tables
                iova = n % 3 * 2 * M + self.rng.choice((0, 1)) * 8 * 4 * K + n // 3 * 4 * K
                self.map(bank, iova, 4 * K)
            for n in range(6):
                self.map(bank, (8 + n) * 2 * M, 2 * M)
            for n in range(3):
                self.map(bank, (1 + n) * G, G)

    def map(self, bank: int, iova: int, size: int) -> None:
        if any(r.requester == bank and r.iova < iova + size and iova < r.iova + r.size for r in self.mapped):
            return
        pa = self.rng.randrange(1 << 12) * G + iova % G
        prot = self.rng.choice((RW, RW, RW, ev.PROT_READ, RW | ev.PROT_EXEC, RW | ev.PROT_PRIV))
        self.mapped.append(Row(ev.MAP, iova, size, pa, prot, bank))

    def access(self) -> Row:
        rng = self.rng
        if rng.random() < 0.06:
            return Row(
                ev.READ, rng.choice((5 * G, 1 << 39, 7 * 2 * M, 3 * 2 * M - 4 * K)), 4, 0, 0, rng.randrange(2)
            )
        page = rng.choice(self.mapped[: rng.choice((4, 12, len(self.mapped)))])
        op = rng.choice((ev.READ, ev.READ, ev.READ, ev.WRITE, ev.EXEC))
        prot = rng.choice((0, 0, ev.PROT_PRIV))
        return Row(op, page.iova + rng.randrange(page.size), 4, 0, prot, page.requester)

    def tlbi(self) -> Row:
        rng = self.rng
        page = rng.choice(self.mapped)
        kinds = (ev.TLBI_VA, ev.TLBI_VA, ev.TLBI_VA_LAST, ev.TLBI_VA_LAST, ev.TLBI_ASID, ev.TLBI_ALL)
        size = rng.choice((4 * K, 12 * K, page.size, 2 * M, 3 * G))
        return Row(ev.TLBI, page.iova, size, 0, rng.choice(kinds), page.requester)

    def remap(self) -> list[Row]:
        """An UNMAP with the page mapped elsewhere at once: TLBs keep the old answer until told."""
        at = self.rng.randrange(len(self.mapped))
        old = self.mapped.pop(at)
        unmap = Row(ev.UNMAP, old.iova, old.size, 0, 0, old.requester)
        if self.rng.random() < 0.3:
            return [unmap]
        self.map(old.requester, old.iova, old.size)
        return [unmap, self.mapped[-1]]


def check_random_trace(seed: int, geometry: Geometry, rounds: int) -> None:
    scene = Scene(seed)
    translator, machine = pair([39, 48], geometry, scene.mapped)
    for _ in range(rounds):
        lockstep(translator, machine, [scene.access() for _ in range(scene.rng.randint(1, 60))])
        draw = scene.rng.random()
        if draw < 0.5:
            lockstep(translator, machine, [scene.tlbi()])
        elif draw < 0.8 and len(scene.mapped) > 20:
            # Not lockstep: the walk must see the tables as they are after it.
            translator.feed(events(scene.remap()))
    same_counts(translator, machine)


GEOMETRIES: list[Geometry] = [
    ((1, 1), (1, 1), (1, 1)),
    ((1, 4), (1, 8), (1, 2)),
    ((2, 2), (8, 2), (2, 2)),
    ((4, 1), (4, 4), (4, 1)),
    ((1, 3), (4, 3), (2, 3)),
    ((8, 8), (128, 4), (16, 4)),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_a_random_trace_gives_the_same_answers_and_counts(seed: int, geometry: Geometry) -> None:
    check_random_trace(seed, geometry, rounds=60)


@pytest.mark.nojit
@pytest.mark.parametrize("geometry", GEOMETRIES[:3], ids=str)
def test_a_short_random_trace_gives_the_same_answers_and_counts(geometry: Geometry) -> None:
    check_random_trace(7, geometry, rounds=8)


# --- The patterns of the yardstick: 100,000 accesses over 4 GiB of 4K pages

YARDSTICK: Geometry = ((16, 4), (128, 4), (16, 4))
ACCESSES = 100_000
SPAN = 4 * G


def zipf(rng: np.random.Generator) -> np.ndarray:
    """Pages of 4 GiB by a Zipf law with exponent 1, spread over the span by an odd factor."""
    rank = np.exp(rng.random(ACCESSES) * np.log(SPAN >> 12)).astype(np.uint64) - np.uint64(1)
    page = (rank * np.uint64(2_654_435_761)) % np.uint64(SPAN >> 12)
    return page << np.uint64(12)


PATTERNS = {
    "seq64": lambda rng: np.arange(ACCESSES, dtype=np.uint64) * np.uint64(64),
    "stride4k": lambda rng: np.arange(ACCESSES, dtype=np.uint64) * np.uint64(4 * K),
    "rand4g": lambda rng: rng.integers(0, SPAN, ACCESSES, dtype=np.uint64),
    "zipf": zipf,
}
#: (utlb_hits, tlb_hits, walks, walk_reads) that follow from the pattern alone.
BY_HAND = {
    # 6.4 MB: 1,563 pages begun, in 4 tables of level 3, each of which costs two reads more
    "seq64": (98_437, 0, 1_563, 1_563 + 2 * 4),
    # every access another page; 196 tables begun
    "stride4k": (0, 0, 100_000, 100_000 + 2 * 196),
}


@pytest.fixture(scope="module")
def four_gigabytes() -> Translator:
    # PA and IOVA differ by a page, so that no block fits.
    translator = Translator.empty(linux(39))
    translator.feed(events([Row(ev.MAP, 0, SPAN, 4 * K, RW)]))
    return translator


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_yardstick_slice_counts_as_the_reference(four_gigabytes: Translator, pattern: str) -> None:
    utlb, tlb, walk_cache = YARDSTICK
    translator = Translator.empty(linux(39), caches=shapes(utlb, tlb, walk_cache))
    translator.mem, translator.regimes = four_gigabytes.mem, four_gigabytes.regimes
    assert translator.regimes[0].start_level == 1
    machine = reference(translator, YARDSTICK)
    iovas = PATTERNS[pattern](np.random.default_rng(20240905))
    answers = translator.feed(accesses(iovas))
    assert np.array_equal(answers.pa, iovas + np.uint64(4 * K))
    where = np.array([SOURCE_OF[machine.access(0, 0, iova).where] for iova in iovas.tolist()])
    assert np.array_equal(answers.source, where)
    same_counts(translator, machine)
    counted = tuple(translator.counts[name] for name in ("utlb_hits", "tlb_hits", "walks", "walk_reads"))
    assert counted == BY_HAND.get(pattern, counted)
    assert translator.counts["faults"] == 0


# --- One rule at a time

pages4 = [Row(ev.MAP, n * 4 * K, 4 * K, M + n * 4 * K, RW) for n in range(4)]


def sources(translator: Translator, rows: list[Row]) -> list[int]:
    return [
        int(a.source) for a, row in zip(translator.feed(events(rows)), rows, strict=True) if row.op <= ev.EXEC
    ]


def read(n: int) -> Row:
    return Row(ev.READ, n * 4 * K)


@pytest.mark.nojit
def test_the_least_recently_used_way_is_the_one_that_leaves() -> None:
    translator, _ = pair([39], ((1, 2), (1, 3), (1, 1)), pages4)
    walk, tlb, utlb = FROM_WALK, FROM_TLB, FROM_UTLB
    # A micro-TLB hit is no use of the TLB's entry: 0 leaves the TLB when 3 comes.
    wanted = [(0, walk), (1, walk), (0, utlb), (2, walk), (0, utlb), (1, tlb), (3, walk), (0, walk)]
    assert sources(translator, [read(n) for n, _ in wanted]) == [where for _, where in wanted]


@pytest.mark.nojit
def test_a_hit_without_permission_counts_as_that_hit_stays_and_fills_the_micro_tlb() -> None:
    readable = Row(ev.MAP, 0, 4 * K, M, ev.PROT_READ)
    translator, _ = pair([39], ((1, 1), (1, 4), (1, 1)), [readable, *pages4[1:]])
    write = Row(ev.WRITE, 0)
    answers = translator.feed(events([read(0), read(1), write, write, read(0)]))
    assert answers.source.tolist() == [FROM_WALK, FROM_WALK, FROM_TLB, FROM_UTLB, FROM_UTLB]
    assert answers.fault.tolist() == [0, 0, FSR_PF, FSR_PF, 0]
    assert answers.level.tolist() == [3] * 5


@pytest.mark.nojit
def test_a_walk_that_ends_in_a_fault_fills_nothing() -> None:
    translator, _ = pair([39], ((1, 4), (1, 4), (1, 4)), [Row(ev.MAP, 0, 4 * K, M, ev.PROT_READ)])
    answers = translator.feed(
        events([Row(ev.WRITE, 0), Row(ev.WRITE, 0), Row(ev.READ, 4 * K), Row(ev.READ, 4 * K)])
    )
    assert answers.source.tolist() == [FROM_WALK] * 4
    assert answers.reads.tolist() == [3] * 4


@pytest.mark.nojit
def test_the_walk_cache_saves_all_reads_but_the_last() -> None:
    translator, _ = pair([48], ((1, 1), (1, 1), (1, 1)), pages4)
    assert translator.feed(events([read(0), read(1), read(0)])).reads.tolist() == [4, 1, 1]


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("kind", "reads"),
    [(ev.TLBI_VA_LAST, 1), (ev.TLBI_VA, 3), (ev.TLBI_ASID, 3), (ev.TLBI_ALL, 3)],
    ids=["TLBIVAL", "TLBIVA", "TLBIASID", "TLBIALL"],
)
def test_only_a_last_level_invalidation_leaves_the_walk_cache_alone(kind: int, reads: int) -> None:
    translator, _ = pair([39], ((4, 4), (4, 4), (4, 4)), pages4)
    answers = translator.feed(events([read(0), read(0), Row(ev.TLBI, 0, 4 * K, 0, kind), read(0)]))
    assert (answers[1].source, answers[3].source, answers[3].reads) == (FROM_UTLB, FROM_WALK, reads)


@pytest.mark.nojit
@pytest.mark.parametrize("kind", [ev.TLBI_VA, ev.TLBI_VA_LAST, ev.TLBI_ASID])
def test_an_invalidation_leaves_other_banks_and_other_pages_alone(kind: int) -> None:
    both = [Row(ev.MAP, n * 4 * K, 4 * K, M, RW, bank) for bank in (0, 1) for n in (0, 1)]
    translator, _ = pair([39, 39], ((4, 4), (4, 4), (4, 4)), both)
    reads = [Row(ev.READ, n * 4 * K, 4, 0, 0, bank) for bank in (0, 1) for n in (0, 1)]
    translator.feed(events(reads))
    after = sources(translator, [Row(ev.TLBI, 0, 4 * K, 0, kind, 0), *reads])
    gone = FROM_WALK
    assert after == [gone, gone if kind == ev.TLBI_ASID else FROM_UTLB, FROM_UTLB, FROM_UTLB]


@pytest.mark.nojit
@pytest.mark.parametrize(("inside", "size"), [(0, 4 * K), (M, 4 * K), (2 * M - 4 * K, 8 * K)])
def test_an_invalidation_of_part_of_a_block_drops_the_whole_block(inside: int, size: int) -> None:
    translator, _ = pair([39], ((4, 4), (4, 4), (4, 4)), [Row(ev.MAP, 2 * M, 2 * M, 8 * M, RW)])
    rows = [Row(ev.READ, 3 * M), Row(ev.TLBI, 2 * M + inside, size, 0, ev.TLBI_VA), Row(ev.READ, 3 * M)]
    assert sources(translator, rows) == [FROM_WALK, FROM_WALK]


@pytest.mark.nojit
def test_an_unmapped_page_goes_on_translating_until_it_is_invalidated() -> None:
    translator, _ = pair([39], ((4, 4), (4, 4), (4, 4)), pages4)
    rows = [read(0), Row(ev.UNMAP, 0), read(0), Row(ev.TLBI, 0, 4 * K, 0, ev.TLBI_VA), read(0)]
    answers = translator.feed(events(rows))
    assert [int(answers[n].pa) for n in (0, 2, 4)] == [M, M, 0]


@pytest.mark.parametrize("geometry", [(3, 1), (0, 4), (4, 0), (12, 4)])
def test_a_geometry_that_cannot_be_indexed_is_refused(geometry: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Translator.empty(linux(39), caches=shapes(tlb=geometry))


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("kind", "reads"), [(ev.TLBI_VA, 3), (ev.TLBI_VA_LAST, 1)], ids=["TLBIVA", "TLBIVAL"]
)
def test_an_invalidation_of_one_page_drops_the_walk_cache_entry_of_its_2m(kind: int, reads: int) -> None:
    base = G + 6 * M
    far = [Row(ev.MAP, base + n * 4 * K, 4 * K, M + n * 4 * K, RW) for n in (0, 300)]
    translator, _ = pair([39], ((4, 4), (4, 4), (4, 4)), far)
    page = Row(ev.READ, base)
    answers = translator.feed(events([page, Row(ev.TLBI, base + 300 * 4 * K, 4 * K, 0, kind), page]))
    assert answers[2].source == FROM_UTLB, "another page's entry stays"
    answers = translator.feed(events([Row(ev.READ, base + 300 * 4 * K)]))
    assert answers[0].reads == reads


@pytest.mark.nojit
def test_an_invalidation_of_a_range_drops_every_way_of_a_set() -> None:
    translator, _ = pair([39], ((1, 4), (1, 4), (1, 4)), pages4)
    whole = Row(ev.TLBI, 0, 16 * K, 0, ev.TLBI_VA)
    rows = [read(n) for n in range(4)]
    assert sources(translator, [*rows, whole, *rows]) == [FROM_WALK] * 8


@pytest.mark.nojit
@pytest.mark.parametrize("bit", range(12, 48))
def test_pages_whose_numbers_differ_in_one_bit_are_told_apart(bit: int) -> None:
    both = [Row(ev.MAP, 0, 4 * K, M, RW), Row(ev.MAP, 1 << bit, 4 * K, 2 * M, RW)]
    translator, _ = pair([48], ((1, 4), (1, 4), (1, 4)), both)
    answers = translator.feed(events([Row(ev.READ, 0), Row(ev.READ, 1 << bit), Row(ev.READ, 0)]))
    assert answers.pa.tolist() == [M, 2 * M, M]
    gone = Row(ev.TLBI, 1 << bit, 4 * K, 0, ev.TLBI_VA_LAST)
    assert sources(translator, [gone, Row(ev.READ, 0), Row(ev.READ, 1 << bit)]) == [FROM_UTLB, FROM_WALK]


@pytest.mark.nojit
def test_each_tbu_has_a_micro_tlb_of_its_own_and_all_share_the_tlb() -> None:
    blocks = [Row(ev.MAP, n * 2 * M, 2 * M, 64 * M + n * 2 * M, RW) for n in range(2)]
    translator, _ = pair([39], YARDSTICK, [*blocks, Row(ev.MAP, G, 4 * K, M, RW)])
    two = mmu.mmu(replace(shapes((1, 4), (4, 4), (4, 4)), tbus=2), translator.mmu.owners)

    def source(tbu: int, iova: int) -> int:
        answer = mmu.translate(
            two, translator.mem, translator.regimes[0], tbu, 0, np.uint64(iova), np.uint64(0)
        )
        assert answer[0] == 0
        return int(answer[3])

    # TBU 1 has seen no page of 2M by itself when the TLB hands it one.
    wanted = [(0, 0, FROM_WALK), (1, G, FROM_WALK), (1, 0, FROM_TLB), (1, 0, FROM_UTLB), (0, G, FROM_TLB)]
    assert [source(tbu, iova) for tbu, iova, _ in wanted] == [where for _, _, where in wanted]
    # An invalidation reaches every TBU.
    tlbi(two, ev.TLBI_VA, 0, np.uint64(0), np.uint64(4 * K))
    assert [source(tbu, 0) for tbu in (1, 0)] == [FROM_WALK, FROM_TLB]
