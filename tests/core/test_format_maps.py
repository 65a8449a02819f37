"""MAP and UNMAP in every table format: what was mapped is what a walk finds, and what the TLBs make of it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from smmucore import pagetable
from smmucore.leaf import STAGE_2
from smmucore.pagetable import MAP_MISALIGNED, MAP_OK, MAP_OUT_OF_RANGE, Memory, memory, new_tables
from smmucore.regime import aarch32_lpae, aarch64_s1, aarch64_s2, nested
from smmucore.spaces import linux
from smmucore.translate import Translator
from tests.reference import walker
from traces import events as ev

from .tables import BASE, KINDS, Tally, compare
from .tools import RW, K, M, Row, events, map_range, put, unmap_range, word_at

PAGE_BITS = [12, 14, 16]
RIGHTS = [
    right | execute | private
    for right in (ev.PROT_READ, RW)
    for execute in (0, ev.PROT_EXEC)
    for private in (0, ev.PROT_PRIV)
]


def two_halves(mem: Memory, page_bits: int, ias: int, oas: int) -> tuple[Any, walker.Regime]:
    """An AArch64 stage 1 with two empty tables."""
    ttbrs = [int(new_tables(mem, 1 << (page_bits - 3))) for _ in range(2)]
    regime = aarch64_s1(
        ttbr0=ttbrs[0], ttbr1=ttbrs[1], ias0=ias, ias1=ias, page_bits=page_bits, oas=oas, epd1=False
    )
    reference = walker.Regime(
        walker.AARCH64_S1,
        ttbr0=ttbrs[0],
        ttbr1=ttbrs[1],
        t0sz=64 - ias,
        t1sz=64 - ias,
        epd1=False,
        granule=1 << page_bits,
        oas=oas,
    )
    return regime, reference


def check_maps(
    rng: random.Random, mem: Memory, regime: Any, reference: Any, page_bits: int, oas: int, bases: list[int]
) -> Tally:
    """Map and unmap at random; every page that is left, and none other, translates as it was mapped."""
    page = 1 << page_bits
    block = 1 << (2 * page_bits - 3)
    held: dict[int, tuple[int, int]] = {}  # page of IOVA -> page of PA, rights
    gone: list[int] = []
    for _ in range(12):
        iova = rng.choice(bases) + rng.randrange(4) * block + rng.choice((0, rng.randrange(64))) * page
        size = rng.choice((1, 3, 40)) * page if rng.random() < 0.8 else block
        pa = rng.randrange(1 << (oas - page_bits - 8)) * page
        if size == block:
            iova, pa = iova & -block, pa & -block
        if any(iova + at in held for at in range(0, size, page)):
            continue
        prot = rng.choice(RIGHTS)
        assert map_range(mem, regime, iova, size, pa, prot) == MAP_OK
        if size != block and rng.random() < 0.3:
            assert unmap_range(mem, regime, iova, size) == MAP_OK
            gone.append(iova)
            continue
        for at in range(0, size, page):
            held[iova + at] = pa + at, prot
    tally = Tally()
    for iova in rng.sample(sorted(held), min(60, len(held))):
        pa, prot = held[iova]
        inside = rng.randrange(page)
        op, private = rng.choice(KINDS)
        compare(mem, regime, reference, iova + inside, (op, private), tally)
        found = walker.walk(
            reference,
            walker.Memory(lambda at: word_at(mem, at), lambda at: None),
            iova + inside,
            write=op == ev.WRITE,
            instruction=op == ev.EXEC,
            privileged=bool(private),
        )
        allowed = bool(private) or not prot & ev.PROT_PRIV
        allowed = allowed and (op != ev.WRITE or bool(prot & ev.PROT_WRITE))
        allowed = allowed and (op != ev.EXEC or bool(prot & ev.PROT_EXEC))
        assert found.fault == (None if allowed else walker.PERMISSION)
        assert found.pa == (pa + inside if allowed else None)
    for iova in gone:
        if iova not in held:
            compare(mem, regime, reference, iova, (ev.READ, 0), tally)
            assert tally.endings[walker.TRANSLATION, 3] or tally.endings[walker.TRANSLATION, 2]
    return tally


@pytest.mark.nojit
@pytest.mark.parametrize("page_bits", PAGE_BITS)
@pytest.mark.parametrize("ias", [32, 39, 48])
def test_what_is_mapped_in_either_half_is_what_a_walk_finds(page_bits: int, ias: int) -> None:
    rng = random.Random(ias * page_bits)
    mem = memory(4096)
    regime, reference = two_halves(mem, page_bits, ias, 44)
    top = (1 << 64) - (1 << ias)
    assert check_maps(rng, mem, regime, reference, page_bits, 44, [0, top, 1 << 30, top + (1 << 30)]).walks


@pytest.mark.nojit
def test_52_bits_of_output_survive_mapping_and_walking() -> None:
    rng = random.Random(52)
    mem = memory(4096)
    regime, reference = two_halves(mem, 16, 48, 52)
    assert check_maps(rng, mem, regime, reference, 16, 52, [0, 1 << 40]).walks
    assert map_range(mem, regime, 1 << 45, 64 * K, 0xF_0000_0000_0000) == MAP_OK
    compare(mem, regime, reference, (1 << 45) + 5, (ev.READ, ev.PROT_PRIV), Tally())


@pytest.mark.nojit
@pytest.mark.parametrize("page_bits", [14, 16])
def test_a_range_is_in_whole_pages_of_the_granule_and_in_one_half(page_bits: int) -> None:
    mem = memory(64)
    regime, _ = two_halves(mem, page_bits, 36, 40)
    page = 1 << page_bits
    assert map_range(mem, regime, 4 * K, page, 0) == MAP_MISALIGNED
    assert map_range(mem, regime, (1 << 36) - page, 2 * page, 0) == MAP_OUT_OF_RANGE
    assert map_range(mem, regime, 1 << 36, page, 0) == MAP_OUT_OF_RANGE
    assert map_range(mem, regime, 0, page, 1 << 40) == MAP_OUT_OF_RANGE
    assert map_range(mem, regime, (1 << 64) - page, page, 0) == MAP_OK


@pytest.mark.nojit
@pytest.mark.parametrize(("t0sz", "t1sz"), [(0, 0), (1, 1), (2, 3), (3, 0)])
def test_what_is_mapped_with_long_descriptors_of_aarch32_is_what_a_walk_finds(t0sz: int, t1sz: int) -> None:
    rng = random.Random(t0sz)
    mem = memory(1024)
    words: dict[str, Any] = {
        "ttbr0": int(new_tables(mem, 512)),
        "ttbr1": int(new_tables(mem, 512)),
        "t0sz": t0sz,
        "t1sz": t1sz,
        "epd1": t0sz == 0,
    }
    regime, reference = aarch32_lpae(**words), walker.Regime(walker.AARCH32_LPAE_S1, **words)
    bases = [0, 64 * M] if t0sz == 0 else [0, 64 * M, 0xF000_0000]
    assert check_maps(rng, mem, regime, reference, 12, 40, bases).walks
    assert map_range(mem, regime, 1 << 32, 4 * K, 0) == MAP_OUT_OF_RANGE


# --- A TLB entry may cover a contiguous run (H2)


def translator_with(page_bits: int, *, runs: bool) -> Translator:
    translator = Translator.empty(linux(48))
    row = aarch64_s1(
        ttbr0=int(new_tables(translator.mem, 1 << (page_bits - 3))), page_bits=page_bits, runs=runs
    )
    translator.set_regime(0, row)
    return translator


@pytest.mark.nojit
@pytest.mark.parametrize(("page_bits", "pages"), [(12, 16), (14, 128), (16, 32)])
@pytest.mark.parametrize("runs", [True, False])
def test_one_walk_serves_a_contiguous_run_where_the_tlb_uses_the_hint(
    page_bits: int, pages: int, runs: bool
) -> None:
    translator = translator_with(page_bits, runs=runs)
    size = pages << page_bits
    assert map_range(translator.mem, translator.regimes[0], size, size, 4 * size) == MAP_OK
    for n in range(pages):
        at, _ = pagetable.find_leaf(translator.mem, translator.regimes[0], np.uint64(size + (n << page_bits)))
        translator.mem.words[at] |= np.uint64(1 << 52)
    rows = [Row(ev.READ, size + (n << page_bits) + 5) for n in range(pages)]
    answers = translator.feed(events(rows))
    assert [int(pa) for pa in answers.pa] == [row.iova + 3 * size for row in rows]
    assert translator.counts["walks"] == (1 if runs else pages)
    # TLBIVA of any page of it takes the whole entry.
    translator.feed(events([Row(ev.TLBI, size + (3 << page_bits), 1 << page_bits, 0, ev.TLBI_VA)]))
    translator.feed(events(rows[:1]))
    assert translator.counts["walks"] == (2 if runs else pages)


@pytest.mark.nojit
def test_a_run_that_is_not_aligned_alike_in_input_and_output_counts_as_pages() -> None:
    translator = translator_with(12, runs=True)
    assert map_range(translator.mem, translator.regimes[0], M, 64 * K, 2 * M + 4 * K) == MAP_OK
    for n in range(16):
        at, _ = pagetable.find_leaf(translator.mem, translator.regimes[0], np.uint64(M + n * 4 * K))
        translator.mem.words[at] |= np.uint64(1 << 52)
    answers = translator.feed(events([Row(ev.READ, M + n * 4 * K) for n in range(16)]))
    assert [int(pa) for pa in answers.pa] == [2 * M + (n + 1) * 4 * K for n in range(16)]
    assert translator.counts["walks"] == 16


@pytest.mark.nojit
def test_pxn_and_uxn_are_told_apart() -> None:
    translator = translator_with(12, runs=True)
    mem, regime = translator.mem, translator.regimes[0]
    for n, bits in enumerate((0, 1 << 53, 1 << 54, 3 << 53)):
        assert map_range(mem, regime, n * 4 * K, 4 * K, n * 4 * K, RW | ev.PROT_EXEC) == MAP_OK
        at, _ = pagetable.find_leaf(mem, regime, np.uint64(n * 4 * K))
        pa = int(mem.base[0]) + 8 * int(at)
        put(mem, pa, word_at(mem, pa) | bits)
    rows = [Row(ev.EXEC, n * 4 * K, 4, 0, private) for private in (0, ev.PROT_PRIV) for n in range(4)]
    faults = [int(answer.fault) != 0 for answer in translator.feed(events(rows))]
    assert faults == [False, False, True, True, False, True, False, True]


# --- Stage 2


@pytest.mark.nojit
@pytest.mark.parametrize(("page_bits", "ias", "level"), [(12, 40, 1), (12, 48, 0), (14, 40, 2), (16, 42, 2)])
def test_what_is_mapped_at_stage_2_is_what_a_walk_finds(page_bits: int, ias: int, level: int) -> None:
    mem = memory(1024)
    shift = page_bits + (3 - level) * (page_bits - 3)
    ttbr = int(new_tables(mem, 1 << (ias - shift)))
    regime = aarch64_s2(ttbr=ttbr, ias=ias, level=level, page_bits=page_bits, oas=44)
    reference = walker.Regime(
        walker.AARCH64_S2, ttbr0=ttbr, t0sz=64 - ias, start_level=level, granule=1 << page_bits, oas=44
    )
    page, top = 1 << page_bits, 1 << ias
    rights = (ev.PROT_READ, ev.PROT_WRITE, RW, RW | ev.PROT_EXEC, ev.PROT_EXEC | ev.PROT_READ)
    for n, prot in enumerate(rights):
        for base in (0, top - 16 * page):
            iova = base + n * page
            assert map_range(mem, regime, iova, page, (n + 7) * page, prot) == MAP_OK
            for kind in KINDS:
                tally = Tally()
                compare(mem, regime, reference, iova + 9, kind, tally)
                allowed = prot & (ev.PROT_READ, ev.PROT_WRITE, ev.PROT_EXEC)[kind[0]]
                assert tally.endings[None if allowed else walker.PERMISSION, 3] == 1
    assert map_range(mem, regime, top, page, 0) == MAP_OUT_OF_RANGE


@pytest.mark.nojit
def test_a_permission_fault_on_a_hit_tells_the_stage_that_refused() -> None:
    translator = Translator.empty(linux(48))
    mem = translator.mem
    at = int(new_tables(mem, 512))
    stage2 = aarch64_s2(ttbr=int(new_tables(mem, 512)), ias=40, level=0)
    assert map_range(mem, stage2, BASE, 64 * M, BASE, RW) == MAP_OK
    assert map_range(mem, stage2, 0, 4 * K, 4 * M, ev.PROT_READ) == MAP_OK
    assert map_range(mem, stage2, 4 * K, 4 * K, 4 * M, RW) == MAP_OK
    both = nested(aarch64_s1(ttbr0=at), stage2)
    translator.set_regime(0, both)
    assert map_range(mem, both, M, 4 * K, 0, RW) == MAP_OK
    assert map_range(mem, both, 2 * M, 4 * K, 4 * K, ev.PROT_READ) == MAP_OK
    rows = [Row(op, iova + 4) for iova in (M, 2 * M) for op in (ev.READ, ev.WRITE)]
    answers = translator.feed(events(rows))
    assert [int(pa) for pa in answers.pa] == [4 * M + 4, 0, 4 * M + 4, 0]
    assert [int(level) for level in answers.level] == [3, 3 | STAGE_2, 3, 3]
    assert translator.counts["walks"] == 2


@pytest.mark.nojit
def test_a_tag_has_room_for_as_many_banks_as_an_smmu_has() -> None:
    translator = Translator.empty(linux(39) * 128)
    rows = [Row(ev.MAP, 0, 4 * K, (bank + 1) * M, RW, bank) for bank in (0, 64, 127)]
    rows += [Row(ev.READ, 5, requester=bank) for bank in (0, 64, 127)]
    assert [int(pa) for pa in translator.feed(events(rows)).pa[3:]] == [M + 5, 65 * M + 5, 128 * M + 5]
    with pytest.raises(ValueError, match="at most 128"):
        Translator.empty(linux(39) * 129)
