"""Every table format: random tables, random accesses; the core and the reference walker agree (H3)."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from smmucore.regime import XN_APART, XN_ARM, aarch32_lpae, aarch64_s1, aarch64_s2, nested, start_level
from tests.reference import walker

from .tables import KINDS, Tally, compare, nested_tables, random_tables
from .tools import walked_twice

PAGE_BITS = [12, 14, 16]
NONE = np.uint64(0)
OAS = [32, 36, 40, 42, 44, 48]


def random_s1(rng: random.Random, page_bits: int, tables: list[int]) -> tuple[Any, walker.Regime]:
    """One regime, in the core's words and in the reference's."""
    widest = page_bits == 16 and rng.random() < 0.3
    # A table above 512G needs 40 output bits; a smaller size is an address-size fault of TTBR.
    oas = 52 if widest else rng.choice(OAS) if rng.random() < 0.1 else rng.choice((40, 42, 44, 48))
    most = 52 if widest else 48
    ias0, ias1 = (rng.randint(32, most) for _ in range(2))
    sep = rng.choice((None, None, 48, 55))
    epd0, epd1 = (rng.random() < 0.1 for _ in range(2))
    affd, arm = rng.random() < 0.1, rng.random() < 0.3
    ttbrs = []
    for _ in range(2):
        noise = rng.getrandbits(16) << 48 | (0 if widest else rng.choice((0, 8)))  # ASID, and bits below
        ttbrs.append(rng.choice(tables) | noise)
    regime = aarch64_s1(
        ttbr0=ttbrs[0],
        ttbr1=ttbrs[1],
        ias0=ias0,
        ias1=ias1,
        page_bits=page_bits,
        oas=oas,
        epd0=epd0,
        epd1=epd1,
        sep=63 if sep is None else sep,
        execute=XN_ARM if arm else XN_APART,
        affd=affd,
    )
    reference = walker.Regime(
        walker.AARCH64_S1,
        ttbr0=ttbrs[0],
        ttbr1=ttbrs[1],
        t0sz=64 - ias0,
        t1sz=64 - ias1,
        epd0=epd0,
        epd1=epd1,
        granule=1 << page_bits,
        oas=oas,
        sep=sep,
        affd=affd,
        arm_execute_rules=arm,
    )
    return regime, reference


def random_s1_address(rng: random.Random, regime: Any) -> int:
    """An address of either half, seldom of neither."""
    draw = rng.random()
    if draw < 0.03:
        return rng.getrandbits(64)
    if draw < 0.6:
        return rng.getrandbits(int(regime.ias))
    return (1 << 64) - 1 - rng.getrandbits(int(regime.ias1))


def check_s1(seed: int, page_bits: int, regimes: int, count: int) -> Tally:
    rng = random.Random(seed * 3 + page_bits)
    tally = Tally()
    for _ in range(regimes):
        oas = 52 if page_bits == 16 and rng.random() < 0.3 else 44
        mem, tables = random_tables(rng, page_bits, oas)
        for _ in range(4):
            regime, reference = random_s1(rng, page_bits, tables)
            for _ in range(count):
                iova = random_s1_address(rng, regime)
                compare(mem, regime, reference, iova, rng.choice(KINDS), tally)
    return tally


# 12 x 4 x 450 = 21,600 walks a granule.
@pytest.mark.parametrize("page_bits", PAGE_BITS)
def test_random_walks_of_aarch64_stage_1_end_as_the_reference_says(page_bits: int) -> None:
    tally = check_s1(1, page_bits, 12, 450)
    assert tally.walks == 21_600
    lowest = 1 if page_bits == 16 else 0
    for level in range(max(lowest, 1), 4):
        for fault in (walker.TRANSLATION, walker.ADDRESS_SIZE):
            assert tally.endings[fault, level], (fault, level)
    for level in (2, 3):
        for fault in (None, walker.ACCESS_FLAG, walker.PERMISSION):
            assert tally.endings[fault, level], (fault, level)
    assert tally.endings[walker.ADDRESS_SIZE, 0], "of a TTBR"
    assert any(fault == walker.EXTERNAL for fault, _ in tally.endings)


@pytest.mark.nojit
@pytest.mark.parametrize("page_bits", PAGE_BITS)
def test_a_few_random_walks_of_aarch64_stage_1_end_as_the_reference_says(page_bits: int) -> None:
    assert check_s1(2, page_bits, 2, 40).walks == 320


@pytest.mark.nojit
@pytest.mark.parametrize("page_bits", PAGE_BITS)
def test_a_walk_starts_where_the_input_size_says(page_bits: int) -> None:
    for ias in range(32, 49):
        assert start_level(ias, page_bits) == walker.stage1_start_level(1 << page_bits, ias)


@pytest.mark.nojit
def test_bit_48_selects_the_half_on_an_adreno() -> None:
    rng = random.Random(5)
    mem, tables = random_tables(rng, 12, 40)
    regime = aarch64_s1(ttbr0=tables[0], ttbr1=tables[1], epd1=False, sep=48)
    reference = walker.Regime(
        walker.AARCH64_S1, ttbr0=tables[0], ttbr1=tables[1], t0sz=16, t1sz=16, epd1=False, sep=48
    )
    tally = Tally()
    for _ in range(60):
        iova = rng.getrandbits(49)
        compare(mem, regime, reference, iova, rng.choice(KINDS), tally)
    assert tally.walks == 60


@pytest.mark.nojit
@pytest.mark.parametrize("page_bits", PAGE_BITS)
def test_a_walk_from_the_last_table_reads_one_descriptor_and_ends_alike(page_bits: int) -> None:
    rng = random.Random(page_bits)
    again = 0
    for _ in range(3):
        mem, tables = random_tables(rng, page_bits, 44)
        regime = aarch64_s1(
            ttbr0=tables[0], ttbr1=tables[1], ias0=40, ias1=36, page_bits=page_bits, epd1=False
        )
        for _ in range(300):
            iova = np.uint64(random_s1_address(rng, regime))
            whole, short = walked_twice(mem, regime, int(iova))
            assert short[:3] == whole[:3]
            if whole[0] == 0 and whole[1] == 3:
                assert short[3] == 1
                again += 1
            else:
                assert short == whole
    assert again > 5


# --- Stage 2, and stage 1 over stage 2


def random_s2(
    rng: random.Random, page_bits: int, tables: list[int], *, oas: int | None = None
) -> tuple[Any, walker.Regime]:
    """A stage 2 of any start level, those that do not fit too; `tables` are in one row."""
    ias = rng.randint(32, 48)
    oas = oas or rng.choice((36, 40, 42, 44, 48))
    level = start_level(ias, page_bits)
    usual = rng.random()
    if usual < 0.4:
        level = min(level + 1, 3)  # concatenated, or too many tables
    elif usual < 0.5:
        level = rng.randint(0, 3)
    affd, arm = rng.random() < 0.1, rng.random() < 0.3
    ttbr = rng.choice(tables) | rng.getrandbits(8) << 48
    regime = aarch64_s2(
        ttbr=ttbr,
        ias=ias,
        level=level,
        page_bits=page_bits,
        oas=oas,
        execute=XN_ARM if arm else XN_APART,
        affd=affd,
    )
    reference = walker.Regime(
        walker.AARCH64_S2,
        ttbr0=ttbr,
        t0sz=64 - ias,
        start_level=level,
        granule=1 << page_bits,
        oas=oas,
        affd=affd,
        arm_execute_rules=arm,
    )
    return regime, reference


def check_s2(seed: int, page_bits: int, regimes: int, count: int) -> Tally:
    rng = random.Random(seed * 5 + page_bits)
    tally = Tally()
    for _ in range(regimes):
        mem, tables = random_tables(rng, page_bits, 44, count=17)
        for _ in range(4):
            regime, reference = random_s2(rng, page_bits, tables)
            for _ in range(count):
                ipa = rng.getrandbits(int(regime.ias) + (rng.random() < 0.02))
                compare(mem, regime, reference, ipa, rng.choice(KINDS), tally)
    return tally


# 12 x 4 x 450 = 21,600 walks a granule.
@pytest.mark.parametrize("page_bits", PAGE_BITS)
def test_random_walks_of_stage_2_end_as_the_reference_says(page_bits: int) -> None:
    tally = check_s2(1, page_bits, 12, 450)
    assert tally.walks == 21_600
    for level in (1, 2, 3):
        assert tally.endings[walker.TRANSLATION, level]
    for level in (2, 3):
        for fault in (None, walker.ACCESS_FLAG, walker.PERMISSION, walker.ADDRESS_SIZE):
            assert tally.endings[fault, level], (fault, level)


@pytest.mark.nojit
@pytest.mark.parametrize("page_bits", PAGE_BITS)
def test_a_few_random_walks_of_stage_2_end_as_the_reference_says(page_bits: int) -> None:
    assert check_s2(2, page_bits, 2, 40).walks == 320


def check_nested(seed: int, page_bits: int, tables: int, count: int) -> Tally:
    rng = random.Random(seed * 7 + page_bits)
    tally = Tally()
    for _ in range(tables):
        mem, at, stage2, reference2 = nested_tables(rng, page_bits, rng.choice(PAGE_BITS))
        for _ in range(4):
            stage1, reference1 = random_s1(rng, page_bits, at)
            both = nested(stage1, stage2)
            for _ in range(count):
                iova = random_s1_address(rng, stage1)
                compare(mem, both, reference1, iova, rng.choice(KINDS), tally, reference2)
    return tally


# 12 x 4 x 450 = 21,600 walks a granule of stage 1.
@pytest.mark.parametrize("page_bits", PAGE_BITS)
def test_random_walks_of_stage_1_over_stage_2_end_as_the_reference_says(page_bits: int) -> None:
    tally = check_nested(1, page_bits, 12, 450)
    assert tally.walks == 21_600
    for fault in (walker.TRANSLATION, walker.ACCESS_FLAG, walker.PERMISSION):
        assert tally.stages[fault, 1, False], fault
        assert tally.stages[fault, 2, False], fault
    assert tally.stages[walker.TRANSLATION, 2, True]
    assert tally.stages[walker.PERMISSION, 2, True]
    assert tally.stages[None, 1, False] > 50


@pytest.mark.nojit
@pytest.mark.parametrize("page_bits", PAGE_BITS)
def test_a_few_random_walks_of_stage_1_over_stage_2_end_as_the_reference_says(page_bits: int) -> None:
    assert check_nested(2, page_bits, 2, 40).walks == 320


# --- AArch32, long descriptors


def random_lpae(rng: random.Random, tables: list[int]) -> tuple[Any, walker.Regime]:
    words: dict[str, Any] = {
        "ttbr0": rng.choice(tables) if rng.random() < 0.95 else 1 << 45,
        "ttbr1": rng.choice(tables),
        "t0sz": rng.choice((0, 0, *range(8))),
        "t1sz": rng.choice((0, 0, *range(8))),
        "epd0": rng.random() < 0.05,
        "epd1": rng.random() < 0.3,
        "affd": rng.random() < 0.1,
    }
    return aarch32_lpae(**words), walker.Regime(walker.AARCH32_LPAE_S1, **words)


def check_lpae(seed: int, tables: int, count: int) -> Tally:
    rng = random.Random(seed)
    tally = Tally()
    for _ in range(tables):
        mem, at = random_tables(rng, 12, 40)
        for _ in range(8):
            regime, reference = random_lpae(rng, at)
            for _ in range(count):
                iova = rng.getrandbits(32) if rng.random() < 0.97 else rng.getrandbits(64)
                iova >>= rng.choice((0, 0, 0, 1, 3, 7))
                compare(mem, regime, reference, iova, rng.choice(KINDS), tally)
    return tally


# 12 x 8 x 230 = 22,080 walks.
def test_random_walks_of_aarch32_long_descriptors_end_as_the_reference_says() -> None:
    tally = check_lpae(1, 12, 230)
    assert tally.walks == 22_080
    for level in (1, 2, 3):
        for fault in (None, walker.TRANSLATION, walker.ACCESS_FLAG, walker.PERMISSION, walker.ADDRESS_SIZE):
            assert tally.endings[fault, level], (fault, level)


@pytest.mark.nojit
def test_a_few_random_walks_of_aarch32_long_descriptors_end_as_the_reference_says() -> None:
    assert check_lpae(2, 2, 20).walks == 320
