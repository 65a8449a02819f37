"""AArch32 short descriptors: walks end as the reference's, rights are the manual's (H3)."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from smmucore.leaf import GLOBAL, size_of
from smmucore.memory import Memory, memory, new_tables
from smmucore.mmu import check_rights, rights_needed
from smmucore.regime import aarch32_short
from smmucore.registers import FSR_AFF
from smmucore.walk import output_address
from tests.reference import walker
from traces import events as ev

from .short_tables import FIRST_WORDS, LOW, SIZES, both, put32
from .tables import KINDS, Tally, compare
from .tools import G, K, M, bare_walk, walked_twice

NONE = np.uint64(0)


# --- Random tables


def random_first(rng: random.Random, seconds: list[int]) -> int:
    """Any first-level descriptor, most often a table or a leaf whose access flag is set."""
    draw = rng.random()
    anything = rng.getrandbits(32)
    if draw < 0.06:
        return anything & ~3
    if draw < 0.6:
        table = rng.choice(seconds) if rng.random() < 0.96 else anything & ~0x3FF
        return table | anything & 0x3FC | 1
    flag = (rng.random() < 0.8) << 10
    return anything & ~(3 | 1 << 10) | flag | rng.choice((2, 3))


def random_second(rng: random.Random) -> int:
    anything = rng.getrandbits(32) & ~(3 | 1 << 4)
    return anything | (rng.random() < 0.8) << 4 | rng.choices((0, 1, 2, 3), (1, 5, 3, 3))[0]


def random_memory(rng: random.Random) -> tuple[Memory, list[int], list[int]]:
    """Two first-level tables of 16 KiB, and 24 second-level ones."""
    count = 24
    words = 2 * FIRST_WORDS + count * 128
    mem = Memory(np.zeros(words, np.uint64), np.array([LOW], np.uint64), np.array([words], np.int64))
    firsts = [LOW, LOW + 16 * K]
    seconds = [LOW + 32 * K + n * K for n in range(count)]
    some = np.array([random_first(rng, seconds) for _ in range(499)], np.uint32)
    halves = mem.words.view(np.uint32)
    choose = np.random.default_rng(rng.getrandbits(32))
    halves[:8192] = some[choose.integers(0, some.size, 8192)]
    some = np.array([random_second(rng) for _ in range(499)], np.uint32)
    halves[8192:] = some[choose.integers(0, some.size, count * 256)]
    return mem, firsts, seconds


def random_regime(rng: random.Random, firsts: list[int]) -> tuple[Any, walker.Regime]:
    n = rng.choice((0, 0, *range(8)))
    size = 1 << (14 - n)
    ttbr0 = rng.choice(firsts) + rng.randrange(1 << n) * size + rng.randrange(size)
    ttbr1 = rng.choice(firsts) + rng.randrange(16 * K)
    if rng.random() < 0.05:
        ttbr0 = rng.choice((LOW - 16 * K, LOW + 64 * K, rng.getrandbits(32)))
    return both(
        n=n,
        ttbr0=ttbr0 | rng.getrandbits(8) << 32,
        ttbr1=ttbr1,
        epd0=rng.random() < 0.05,
        epd1=rng.random() < 0.2,
        afe=rng.random() < 0.5,
        affd=rng.random() < 0.1,
    )


def random_address(rng: random.Random) -> int:
    if rng.random() < 0.02:
        return rng.getrandbits(64)
    return rng.getrandbits(32) >> rng.choice((0, 0, 0, 1, 3, 7))


def check_walks(seed: int, tables: int, count: int) -> Tally:
    rng = random.Random(seed)
    tally = Tally()
    for _ in range(tables):
        mem, firsts, _ = random_memory(rng)
        for _ in range(16):
            regime, reference = random_regime(rng, firsts)
            for _ in range(count):
                compare(mem, regime, reference, random_address(rng), rng.choice(KINDS), tally)
    return tally


# 12 x 16 x 125 = 24,000 walks.
def test_random_walks_of_short_descriptors_end_as_the_reference_says() -> None:
    tally = check_walks(1, 12, 125)
    assert tally.walks == 24_000
    for level in (1, 2):
        for fault in (None, walker.TRANSLATION, walker.ACCESS_FLAG, walker.PERMISSION, walker.EXTERNAL):
            assert tally.endings[fault, level] > 20, (fault, level)
    assert set(tally.sizes) == set(SIZES)
    assert min(tally.sizes.values()) > 500
    assert {level for _, level in tally.endings} == {1, 2}


@pytest.mark.nojit
def test_a_few_random_walks_of_short_descriptors_end_as_the_reference_says() -> None:
    assert check_walks(2, 2, 20).walks == 640


@pytest.mark.nojit
def test_a_walk_from_the_second_table_reads_one_descriptor_and_ends_alike() -> None:
    rng = random.Random(3)
    again = 0
    for _ in range(3):
        mem, firsts, _ = random_memory(rng)
        regime = aarch32_short(ttbr0=firsts[0], ttbr1=firsts[1], n=2, epd1=False)
        for _ in range(200):
            iova = rng.getrandbits(32)
            whole, short = walked_twice(mem, regime, iova)
            assert short[:3] == whole[:3]
            if whole[0] == 0 and whole[1] == 2:
                assert (whole[3], short[3]) == (2, 1)
                again += 1
            else:
                assert short == whole
    assert again > 100


@pytest.mark.nojit
def test_a_second_table_at_address_0_is_remembered_too() -> None:
    mem = Memory(np.zeros(4096, np.uint64), np.zeros(1, np.uint64), np.zeros(1, np.int64))
    put32(mem, 16 * K, 1)  # the table at address 0, without PXN
    put32(mem, 0, 0x7000_0032)
    whole, again = walked_twice(mem, aarch32_short(ttbr0=16 * K), 0)
    assert whole[0] == again[0] == 0
    assert (whole[3], again[3]) == (2, 1)


# --- Where a walk starts


@pytest.mark.nojit
@pytest.mark.parametrize("n", range(8))
def test_ttbcr_n_splits_the_input_and_sizes_the_table(n: int) -> None:
    mem = memory(32, LOW)
    ttbr1 = int(new_tables(mem, FIRST_WORDS))
    ttbr0 = int(new_tables(mem, FIRST_WORDS)) + (16 * K >> n) * ((1 << n) - 1)
    regime, reference = both(n=n, ttbr0=ttbr0, ttbr1=ttbr1, epd1=False)
    top = 1 << (32 - n)  # the first byte of TTBR1, if there is one
    put32(mem, ttbr0, 0x1000_0C02)
    put32(mem, ttbr0 + 4 * ((top >> 20) - 1), 0x1010_0C02)
    expected = {0: 0x1000_0000, top - M: 0x1010_0000, top: None}
    if n:
        put32(mem, ttbr1 + 4 * (top >> 20), 0x1020_0C02)
        put32(mem, ttbr1 + 4 * 4095, 0x1030_0C02)
        expected |= {top: 0x1020_0000, 4 * G - M: 0x1030_0000}
    for iova, pa in expected.items():
        fault, _, leaf, _ = bare_walk(mem, regime, iova + 9)
        assert (None if fault else int(output_address(leaf, np.uint64(iova + 9)))) == (pa and pa + 9), hex(
            iova
        )
        compare(mem, regime, reference, iova + 9, (ev.READ, 0), Tally())


@pytest.mark.nojit
def test_pd0_and_pd1_and_an_address_beyond_32_bits_fault_at_level_1_without_a_read() -> None:
    mem = memory(16, LOW)
    ttbr = int(new_tables(mem, FIRST_WORDS))
    for words, iova in (
        ({"epd0": True, "epd1": False}, 0),
        ({"epd1": True}, 0xFFFF_0000),
        ({"epd1": False}, 1 << 32),
    ):
        regime, reference = both(n=1, ttbr0=ttbr, ttbr1=ttbr, **words)
        tally = Tally()
        compare(mem, regime, reference, iova, (ev.READ, 0), tally)
        assert tally.endings == {(walker.TRANSLATION, 1): 1}
        assert bare_walk(mem, regime, iova)[3] == 0


@pytest.mark.nojit
def test_ttbcr_n_has_three_bits() -> None:
    with pytest.raises(ValueError, match="0 to 7"):
        aarch32_short(n=8)


# --- Rights

#: Arm ARM, VMSAv8-32 access permissions: what AP[2:0] lets privileged and unprivileged accesses do.
AP_THREE_BITS = {
    0b000: ("", ""),
    0b001: ("rw", ""),
    0b010: ("rw", "r"),
    0b011: ("rw", "rw"),
    0b100: ("", ""),
    0b101: ("r", ""),
    0b110: ("r", "r"),
    0b111: ("r", "r"),
}
#: The same with SCTLR.AFE: AP[2:1], AP[0] being the access flag.
AP_TWO_BITS = {0b00: ("rw", ""), 0b01: ("rw", "rw"), 0b10: ("r", ""), 0b11: ("r", "r")}


def leaf_words(size: int, ap: int, *, xn: bool, pxn: bool, ng: bool) -> tuple[int, int]:
    """First- and second-level descriptor of a leaf at PA 0x3300_0000, bit by bit from the manual."""
    if size >= M:
        first = 0x3300_0002 | (ap & 3) << 10 | (ap >> 2) << 15 | ng << 17 | xn << 4 | pxn
        return first | (1 << 18 if size == 16 * M else 0), 0
    first = LOW + 32 * K | 1 | pxn << 2
    second = 0x3300_0000 | (ap & 3) << 4 | (ap >> 2) << 9 | ng << 11
    return first, second | (1 | xn << 15 if size == 64 * K else 2 | xn)


@pytest.mark.nojit
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("afe", [False, True])
def test_every_ap_encoding_allows_what_the_manual_says(size: int, afe: bool) -> None:
    mem = Memory(np.zeros(8192, np.uint64), np.array([LOW], np.uint64), np.array([8192], np.int64))
    regime = aarch32_short(ttbr0=LOW, afe=afe)
    for case in range(64):
        ap, xn, pxn, ng = case & 7, bool(case & 8), bool(case & 16), bool(case & 32)
        first, second = leaf_words(size, ap, xn=xn, pxn=pxn, ng=ng)
        put32(mem, LOW, first)
        put32(mem, LOW + 32 * K, second)
        fault, level, leaf, _ = bare_walk(mem, regime, 0)
        where = f"AP {ap:03b} XN {xn} PXN {pxn}"
        assert level == (1 if size >= M else 2), where
        if afe and not ap & 1:
            assert fault == FSR_AFF, where
            assert bare_walk(mem, aarch32_short(ttbr0=LOW, affd=True), 0)[0] == 0, where
            continue
        assert fault == 0, where
        assert int(output_address(leaf, NONE)) == 0x3300_0000
        assert 1 << int(size_of(leaf)) == size
        assert bool(leaf & GLOBAL) == (not ng)
        privileged, unprivileged = AP_TWO_BITS[ap >> 1] if afe else AP_THREE_BITS[ap]
        privileged += "x" if "r" in privileged and not xn and not pxn else ""
        unprivileged += "x" if "r" in unprivileged and not xn else ""
        for op, letter in ((ev.READ, "r"), (ev.WRITE, "w"), (ev.EXEC, "x")):
            for prot, allowed in ((ev.PROT_PRIV, privileged), (0, unprivileged)):
                refused = check_rights(leaf, np.uint64(rights_needed(op, prot)))
                assert (refused == 0) == (letter in allowed), f"{where} {letter} {prot}"


def walker_fault(name: str) -> int:
    from .tools import FSR_OF

    return FSR_OF[name]
