"""Tables of random descriptors, and the comparison of a walk with the reference's."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from smmucore.leaf import GLOBAL, STAGE_2, TABLE_OF_STAGE_1, size_of
from smmucore.mmu import check_rights, rights_needed
from smmucore.pagetable import Memory, new_tables
from smmucore.regime import aarch64_s2
from smmucore.registers import FSR_ASF
from smmucore.walk import fault_level_of, leaf_level_of, output_address
from tests.reference import walker
from traces import events as ev

from .tools import FSR_OF as FSR_OF_MOST
from .tools import RW, bare_walk, map_range, reference_memory

FSR_OF = {**FSR_OF_MOST, walker.ADDRESS_SIZE: FSR_ASF}
BASE = 0x80_0000_0000
KINDS = [(op, private) for op in (ev.READ, ev.WRITE, ev.EXEC) for private in (0, ev.PROT_PRIV)]


def blank(words: int) -> Memory:
    return Memory(np.zeros(words, np.uint64), np.array([BASE], np.uint64), np.array([words], np.int64))


def random_descriptor(rng: random.Random, page_bits: int, tables: list[int], oas: int) -> int:
    """Any descriptor, most often a table or a leaf that translates."""
    draw = rng.random()
    if draw < 0.06:
        return rng.getrandbits(64) & ~rng.choice((0, 1, 3))
    high = rng.choice((0, 0, 0, rng.getrandbits(12))) << 52
    if draw < 0.55:
        pa = rng.choice(tables) if rng.random() < 0.97 else rng.getrandbits(52)
        low = 3 | rng.choice((0, rng.getrandbits(10) << 2))
    else:
        bits = oas if rng.random() < 0.93 else 52
        pa = rng.getrandbits(bits)
        low = rng.choice((1, 3)) | rng.getrandbits(8) << 2 | (rng.random() < 0.9) << 10
        low |= rng.getrandbits(1) << 6 | (pa & 1) << 11
        if rng.random() < 0.2:
            high |= 1 << 52
    address = pa & 0xFFFF_FFFF_FFFF & ~((1 << page_bits) - 1)
    if page_bits == 16:
        low |= (pa >> 48) << 12 if oas == 52 else 0
    return high | address | low & 0xFFFF


def random_tables(rng: random.Random, page_bits: int, oas: int, count: int = 5) -> tuple[Memory, list[int]]:
    """`count` tables, densely random; what is left of a table points on by chance."""
    words = 1 << (page_bits - 3)
    mem = blank(words * count)
    tables = [BASE + n * words * 8 for n in range(count)]
    # A table is made of a few random descriptors over and over: as good as all different, and quicker.
    for n in range(count):
        some = np.array([random_descriptor(rng, page_bits, tables, oas) for _ in range(61)], np.uint64)
        picks = np.random.default_rng(rng.getrandbits(32)).integers(0, some.size, words)
        mem.words[n * words : (n + 1) * words] = some[picks]
    return mem, tables


@dataclass
class Tally:
    """How many walks were compared, and how they ended."""

    walks: int = 0
    endings: Counter[Any] = field(default_factory=Counter)
    stages: Counter[Any] = field(default_factory=Counter)
    #: Of the pages that were found.
    sizes: Counter[int] = field(default_factory=Counter)


def rights_of(found: walker.Result) -> dict[tuple[int, int], bool]:
    return {
        (op, private): walker.permits(
            found, write=op == ev.WRITE, instruction=op == ev.EXEC, privileged=bool(private)
        )
        for op, private in KINDS
    }


def covered(found: walker.Result, address: int) -> int:
    """What one TLB entry may cover: the run, where input and output lie alike in it, or else the page."""
    apart = ((found.pa or 0) ^ address) & (found.run_size - 1)
    return found.page_size if apart >= found.page_size else found.run_size


def compare(
    mem: Memory,
    regime: Any,
    reference: walker.Regime,
    iova: int,
    kind: tuple[int, int],
    tally: Tally,
    stage2: walker.Regime | None = None,
) -> None:
    """Hold one walk, nested where there is a `stage2`, against the reference."""
    op, private = kind
    access = {"write": op == ev.WRITE, "instruction": op == ev.EXEC, "privileged": bool(private)}
    need = np.uint64(rights_needed(op, private))
    fault, level, leaf, reads = bare_walk(mem, regime, iova, need)
    if fault == 0:
        fault = check_rights(leaf, need)
        level = fault_level_of(leaf, need) if fault else level
    memory = reference_memory(mem)
    if stage2 is None:
        want = walker.walk(reference, memory, iova, **access)
    else:
        want = walker.walk_nested(reference, stage2, memory, iova, **access)
    where = f"{iova:#x} {kind} {reference} {want}"
    assert (int(fault), int(level) & 3) == (FSR_OF[want.fault], want.level), where
    if want.fault is not None:
        assert bool(level & STAGE_2) == (want.stage == 2), where
        assert bool(level & TABLE_OF_STAGE_1) == want.s1ptw, where
    # The reference lists a read that aborts; the core counts what arrived.
    assert int(reads) == sum(word is not None for _, word in want.reads), where
    if want.fault is None:
        assert int(output_address(leaf, np.uint64(iova))) == want.pa, where
        assert leaf_level_of(leaf) == want.level, where
        assert bool(leaf & GLOBAL) == (want.stage == 1 and not want.ng), where
        covers = covered(want, iova)
        if want.stage1 is not None and want.stage2 is not None:
            covers = min(covered(want.stage1, iova), covered(want.stage2, want.stage1.pa or 0))
        assert 1 << int(size_of(leaf)) == covers, where
        for (other, its), allowed in rights_of(want).items():
            assert (check_rights(leaf, np.uint64(rights_needed(other, its))) == 0) == allowed, where
        tally.sizes[want.page_size] += 1
    tally.walks += 1
    tally.endings[want.fault, want.level] += 1
    tally.stages[want.fault, want.stage, want.s1ptw] += 1


def nested_tables(
    rng: random.Random, page_bits: int, s2_page_bits: int
) -> tuple[Memory, list[int], Any, walker.Regime]:
    """Random tables of stage 1, and the stage 2 beneath them.

    Stage 2 maps most pages of those tables, in another order, and anything else at random.
    """
    words = 1 << (page_bits - 3)
    mem, tables = random_tables(rng, page_bits, 40, count=4)
    room = np.zeros(1 << 18, np.uint64)
    room[: mem.words.size] = mem.words
    mem = Memory(room, mem.base, np.array([4 * words], np.int64))
    level = {12: 1, 14: 2, 16: 2}[s2_page_bits]  # 2, 16 and 1 start tables
    shift = s2_page_bits + (3 - level) * (s2_page_bits - 3)
    root = int(new_tables(mem, 1 << (40 - shift)))
    below = [int(new_tables(mem, 1 << (s2_page_bits - 3))) for _ in range(2)]
    for table, count in ((root, 1 << (40 - shift)), *((at, 1 << (s2_page_bits - 3)) for at in below)):
        some = np.array([random_descriptor(rng, s2_page_bits, below, 44) for _ in range(97)], np.uint64)
        first = (table - BASE) >> 3
        picks = np.random.default_rng(rng.getrandbits(32)).integers(0, some.size, count)
        mem.words[first : first + count] = some[picks]
    mem.words[((root - BASE) >> 3) + (BASE >> shift)] = 0
    regime = aarch64_s2(ttbr=root, ias=40, level=level, page_bits=s2_page_bits, oas=44)
    reference = walker.Regime(
        walker.AARCH64_S2, ttbr0=root, t0sz=24, start_level=level, granule=1 << s2_page_bits, oas=44
    )
    size = 1 << s2_page_bits
    pages = [BASE + at for at in range(0, 4 * words * 8, size)]
    for ipa, pa in zip(pages, rng.sample(pages, len(pages)), strict=True):
        draw = rng.random()
        if draw > 0.07:
            assert map_range(mem, regime, ipa, size, pa, ev.PROT_WRITE if draw < 0.14 else RW) == 0
    return mem, tables, regime, reference
