"""Walk caches: the addresses of tables, by stage and depth (H2; docs/translation.md 3).

Depth 0 are tables of the last level.  A walk asks `begin` where to start, leaves the tables that it reads in
``mmu.trail``, and `enter_tables` puts them in once it is known that nothing has faulted.
"""

from __future__ import annotations

import numpy as np

from smmucore import tlb
from smmucore.descriptors import LAST_LEVEL
from smmucore.kernel import inlined, kernel

U0 = np.uint64(0)
ONLY = np.int64(0)

STAGE_1 = np.int64(0)  # typed, or numba compiles once more
STAGE_2 = np.int64(1)

#: Stands for the short format in place of the page's bits.
SHORT_PAGE_BITS = np.int64(11)

WALKED = np.dtype(
    [
        ("address", "u8"),  # what the last walk walked with
        ("stage", "i8"),
        ("owner", "i8"),
        ("page_bits", "i8"),
        ("first", "i8"),  # levels whose tables it read and had not taken from a walk cache
        ("last", "i8"),
        ("tlb_slot", "i8"),  # where its translation went
        ("utlb_slot", "i8"),
        ("fills", "i8"),  # 1, and one more with each walk that fills the TLBs while an access may wait
        ("common", "u8"),  # rights that every translation in the TLBs gives
    ],
    align=True,
)


@kernel
def cache_of(mmu, stage, depth):
    """Return the walk cache of a stage and depth."""
    if stage == STAGE_1:
        if depth == 0:
            return mmu.walk0
        return mmu.walk1 if depth == 1 else mmu.walk2
    if depth == 0:
        return mmu.stage2_walk0
    return mmu.stage2_walk1 if depth == 1 else mmu.stage2_walk2


@inlined
def reach_bits(page_bits, depth):
    """Return log2 of what a table of this depth covers.

    The short format, with 12-bit pages and 8-bit indices, is told by SHORT_PAGE_BITS.
    """
    if page_bits == SHORT_PAGE_BITS:
        return np.uint64(20)
    return np.uint64(page_bits + (depth + 1) * (page_bits - 3))


@inlined
def key_of(owner, page_bits, depth, address):
    """Return the key of the table of this depth that `address` leads to."""
    return tlb.key_of(owner, page_bits - 10, address >> reach_bits(page_bits, depth))


@inlined
def begin(mmu, stage, owner, page_bits, start_level, address):
    """Look for the table nearest to the leaf; return (its address and what it inherits, its level).

    The start level, which no walk cache holds, says that there was none.

    Notes in ``mmu.walked`` what the walk will have to enter.
    """
    return begin_from(mmu, np.int64(LAST_LEVEL), stage, owner, page_bits, start_level, address)


@inlined
def begin_above(mmu, stage, owner, page_bits, start_level, address):
    """As `begin`, where it is known that no table of the last level is cached."""
    return begin_from(mmu, np.int64(LAST_LEVEL - 1), stage, owner, page_bits, start_level, address)


@kernel
def begin_from(mmu, level, stage, owner, page_bits, start_level, address):
    """As `begin`, from the walk cache of tables of `level` on."""
    walked = mmu.walked
    walked.address = address
    walked.stage = stage
    walked.owner = owner
    walked.page_bits = page_bits
    walked.last = -1
    while level > start_level and level > 0:
        depth = LAST_LEVEL - level
        cache = cache_of(mmu, stage, depth)
        if cache.info.sets != 0:
            slot = tlb.find(cache, ONLY, key_of(owner, page_bits, depth, address))
            if slot >= 0:
                walked.first = level + 1
                return cache.values[0, slot], level
        level -= 1
    walked.first = start_level + 1
    return U0, start_level


@kernel
def enter_tables(mmu):
    """Enter the tables of the last walk of ``mmu.walked``."""
    walked = mmu.walked
    level = max(walked.first, 1)
    while level <= walked.last:
        depth = LAST_LEVEL - level
        cache = cache_of(mmu, walked.stage, depth)
        if cache.info.sets != 0:
            tlb.note_class(cache, ONLY, walked.page_bits - 10)
            slot = tlb.insert(cache, ONLY, key_of(walked.owner, walked.page_bits, depth, walked.address))
            cache.values[0, slot] = mmu.trail[walked.stage, level]
        level += 1
