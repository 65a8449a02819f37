"""Tables of random descriptors, and the comparison of a walk with the reference's."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from smmucore import leaf as leaves
from smmucore.leaf import size_of
from smmucore.mmu import check_rights, rights_needed
from smmucore.pagetable import Memory
from smmucore.registers import FSR_ASF
from smmucore.walk import leaf_level_of, output_address, walk
from tests.reference import walker
from traces import events as ev

from .tools import FSR_OF as FSR_OF_MOST
from .tools import reference_memory

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
        low |= rng.getrandbits(1) << 6
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


def rights_of(found: walker.Result) -> dict[tuple[int, int], bool]:
    return {
        (op, private): walker.permits(
            found, write=op == ev.WRITE, instruction=op == ev.EXEC, privileged=bool(private)
        )
        for op, private in KINDS
    }


def compare(
    mem: Memory, regime: Any, reference: Any, iova: int, kind: tuple[int, int], tally: Tally
) -> tuple[int, int]:
    """Hold one walk against the reference; return (leaf, last table)."""
    op, private = kind
    access = {"write": op == ev.WRITE, "instruction": op == ev.EXEC, "privileged": bool(private)}
    fault, level, leaf, last, reads = walk(mem, regime, np.uint64(iova), np.uint64(0))
    if fault == 0:
        fault = check_rights(leaf, rights_needed(op, private))
    want = walker.walk(reference, reference_memory(mem), iova, **access)
    where = f"{iova:#x} {kind} {reference} {want}"
    assert (int(fault), int(level)) == (FSR_OF[want.fault], want.level), where
    # The reference lists a read that aborts; the core counts what arrived.
    assert int(reads) == sum(word is not None for _, word in want.reads), where
    if want.fault is None:
        assert int(output_address(leaf, np.uint64(iova))) == want.pa, where
        assert leaf_level_of(leaf) == want.level, where
        size = 1 << int(size_of(leaf))
        assert size in (want.page_size, want.run_size), where
        if size != want.run_size:  # a run whose addresses do not line up
            assert want.contiguous and (want.pa ^ iova) & (want.run_size - 1) & ~(want.page_size - 1), where
        for (other, its), allowed in rights_of(want).items():
            assert (check_rights(leaf, rights_needed(other, its)) == 0) == allowed, where
    tally.walks += 1
    tally.endings[want.fault, want.level] += 1
    return leaf, last


__all__ = ["BASE", "KINDS", "Tally", "compare", "leaves", "random_tables"]
