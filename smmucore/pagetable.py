"""Translation tables in simulated memory, built as Linux's io-pgtable would (H3).

Tables are real descriptors in a flat window of simulated physical memory: the walker reads the
same words that the mapper wrote. Those of short descriptors are in `short_map`.
"""

from __future__ import annotations

import numpy as np

from smmucore.attributes import stage1_attributes, stage2_attributes
from smmucore.descriptors import (
    LAST_LEVEL,
    OA_MASK,
    TYPE_BLOCK,
    TYPE_MASK,
    TYPE_TABLE,
    VALID,
    address_in,
    entry_shift,
    packed_address,
    top_block_level,
)
from smmucore.kernel import kernel
from smmucore.memory import (
    MAP_ERRORS,
    MAP_EXISTS,
    MAP_MISALIGNED,
    MAP_NO_MEMORY,
    MAP_OK,
    MAP_OUT_OF_RANGE,
    TABLE_BASE,
    TABLE_WORDS,
    UNMAP_PARTIAL,
    Memory,
    grown,
    memory,
    new_table,
    new_tables,
    word_index,
)
from smmucore.regime import (
    AARCH32_SHORT,
    AARCH64_S2,
    NOWHERE,
    REGIME,
    half,
    input_of,
    output_bits,
    page_size,
    place,
    start_level,
    table_base,
)
from smmucore.short_map import SECOND_WORDS, copy_short, find_short, map_short, reaches, unmap_short
from traces.events import PROT_READ, PROT_WRITE

U0 = np.uint64(0)
U1 = np.uint64(1)
U3 = np.uint64(3)
U20 = np.uint64(20)
U21 = np.uint64(21)
U30 = np.uint64(30)
ALL_ONES = np.uint64((1 << 64) - 1)

#: Words that mapping one page can take: a 64K table at each of four levels.
PAGE_ROOM = 4 << 13

# What else one needs to make tables.
__all__ = [
    "MAP_ERRORS",
    "MAP_EXISTS",
    "MAP_MISALIGNED",
    "MAP_NO_MEMORY",
    "MAP_OK",
    "MAP_OUT_OF_RANGE",
    "REGIME",
    "TABLE_BASE",
    "TABLE_WORDS",
    "UNMAP_PARTIAL",
    "Memory",
    "grown",
    "memory",
    "new_table",
    "new_tables",
    "start_level",
    "word_index",
]


@kernel
def leaf_level(regime, which, iova, pa, left):
    """Return the level of the largest leaf that IOVA, PA, the bytes left and the granule allow."""
    _, _, start, page_bits = half(regime, which)
    level = max(top_block_level(page_bits, regime.oas), start)
    while level < LAST_LEVEL:
        size = U1 << entry_shift(page_bits, level)
        if left >= size and (iova | pa) & (size - U1) == U0:
            return level
        level += 1
    return np.int64(LAST_LEVEL)


@kernel
def entry_of(mem, table, iova, shift, bits):
    """Return the index of the word that `iova` selects in a table of 2^bits entries, or -1."""
    return word_index(mem, table + (((iova >> shift) & ((U1 << bits) - U1)) << U3))


@kernel
def map_leaf(mem, regime, iova, pa, level, attributes):
    """Write one leaf, making the tables above it; return MAP_*."""
    ttbr, ias, at, page_bits = half(regime, place(regime, iova))
    va = input_of(regime, iova)
    oas = output_bits(regime)
    table = table_base(ttbr, ias, at, page_bits, oas)
    shift = entry_shift(page_bits, at)
    bits = np.uint64(ias) - shift
    while at < level:
        entry = entry_of(mem, table, va, shift, bits)
        desc = mem.words[entry]
        if desc & VALID == U0:
            below = new_table(mem) if page_bits == 12 else new_tables(mem, 1 << (page_bits - 3))
            if below == U0:
                return MAP_NO_MEMORY
            desc = packed_address(below, page_bits, oas) | TYPE_TABLE
            mem.words[entry] = desc
        elif desc & TYPE_MASK != TYPE_TABLE:
            return MAP_EXISTS
        table = address_in(desc, np.uint64(page_bits), page_bits, oas)
        at += 1
        shift = entry_shift(page_bits, at)
        bits = np.uint64(page_bits - 3)
    entry = entry_of(mem, table, va, shift, bits)
    desc = mem.words[entry]
    # A table in a block's place is dropped, as io-pgtable frees it; a leaf is never overwritten.
    if desc & VALID != U0 and (level == LAST_LEVEL or desc & TYPE_MASK != TYPE_TABLE):
        return MAP_EXISTS
    kind = TYPE_TABLE if level == LAST_LEVEL else TYPE_BLOCK
    mem.words[entry] = packed_address(pa, page_bits, oas) | attributes | kind
    return MAP_OK


@kernel
def in_one_half(regime, iova, size):
    """Tell whether a range lies in one half of the input addresses."""
    which = place(regime, iova)
    if which == NOWHERE or size - U1 > ALL_ONES - iova:
        return False
    return place(regime, iova + (size - U1)) == which


@kernel
def map_range(mem, regime, iova, size, pa, prot):
    """Map `size` bytes with the largest leaves that fit; return MAP_*.

    A mapping with neither READ nor WRITE maps nothing, as in Linux.  Stage 1 cannot express a
    page that may be written but not read: READ is implied.
    """
    which = place(regime, iova)
    if size == U0 or (iova | pa | size) & (page_size(regime, which) - U1) != U0:
        return MAP_MISALIGNED
    if not in_one_half(regime, iova, size):
        return MAP_OUT_OF_RANGE
    if (pa + size - U1) >> np.uint64(output_bits(regime)) != U0 or pa + size < pa:
        return MAP_OUT_OF_RANGE
    if regime.format == AARCH32_SHORT and not reaches(iova, size, pa):
        return MAP_OUT_OF_RANGE
    if prot & (PROT_READ | PROT_WRITE) == 0:
        return MAP_OK
    if regime.format == AARCH32_SHORT:
        return map_short(mem, regime, iova, size, pa, prot)
    attributes = stage2_attributes(prot) if regime.format == AARCH64_S2 else stage1_attributes(prot)
    _, _, _, page_bits = half(regime, which)
    done = U0
    while done < size:
        level = leaf_level(regime, which, iova + done, pa + done, size - done)
        status = map_leaf(mem, regime, iova + done, pa + done, level, attributes)
        if status != MAP_OK:
            return status
        done += U1 << entry_shift(page_bits, level)
    return MAP_OK


@kernel
def find_leaf(mem, regime, iova):
    """Return (index of the leaf's word or -1, level reached)."""
    if regime.format == AARCH32_SHORT:
        at, short, _, level = find_short(mem, regime, iova)
        return -1 if short == U0 else word_index(mem, at), level
    ttbr, ias, level, page_bits = half(regime, place(regime, iova))
    va = input_of(regime, iova)
    oas = output_bits(regime)
    table = table_base(ttbr, ias, level, page_bits, oas)
    shift = entry_shift(page_bits, level)
    bits = np.uint64(ias) - shift
    while True:
        entry = entry_of(mem, table, va, shift, bits)
        desc = mem.words[entry]
        if desc & VALID == U0:
            return -1, level
        if level == LAST_LEVEL or desc & TYPE_MASK == TYPE_BLOCK:
            return entry, level
        table = address_in(desc, np.uint64(page_bits), page_bits, oas)
        level += 1
        shift = entry_shift(page_bits, level)
        bits = np.uint64(page_bits - 3)


@kernel
def unmap_range(mem, regime, iova, size):
    """Clear every leaf in the range; return MAP_OK or the reason nothing was cleared.

    What is not mapped is passed over.  Nothing is cleared when a block is only partly inside.
    """
    which = place(regime, iova)
    if size == U0 or (iova | size) & (page_size(regime, which) - U1) != U0:
        return MAP_MISALIGNED
    if not in_one_half(regime, iova, size):
        return MAP_OUT_OF_RANGE
    if regime.format == AARCH32_SHORT:
        return unmap_short(mem, regime, iova, size)
    _, _, _, page_bits = half(regime, which)
    for clear in range(2):
        done = U0
        while done < size:
            at = iova + done
            left = size - done
            entry, level = find_leaf(mem, regime, at)
            covers = U1 << entry_shift(page_bits, level)
            inside = covers - (at & (covers - U1))
            if entry >= 0:
                if inside != covers or covers > left:
                    return UNMAP_PARTIAL
                if clear == 1:
                    mem.words[entry] = U0
            done += min(inside, left)
    return MAP_OK


@kernel
def copy_leaf(mem, source, target, iova):
    """Map the page of `iova` in `target` as it is in `source`, which has it; return MAP_*."""
    if source.format == AARCH32_SHORT:
        return copy_short(mem, source, target, iova)
    entry, level = find_leaf(mem, source, iova)
    _, _, _, page_bits = half(source, place(source, iova))
    bits = entry_shift(page_bits, level)
    inside = (U1 << bits) - U1
    desc = mem.words[entry]
    pa = address_in(desc, bits, page_bits, output_bits(source))
    attributes = desc & ~(OA_MASK | np.uint64(3))
    return map_leaf(mem, target, iova & ~inside, pa, level, attributes)


@kernel
def tables_needed(size):
    """Return an upper bound of the 4K tables that mapping `size` bytes with 4K pages can allocate."""
    return np.int64(size >> U21) + np.int64(size >> U30) + 8


@kernel
def words_needed(regime, iova, size):
    """Return an upper bound of the words of tables that mapping `size` bytes can take."""
    if regime.format == AARCH32_SHORT:
        return (np.int64(size >> U20) + 3) * SECOND_WORDS  # two for the ends, one for the alignment
    _, _, _, page_bits = half(regime, place(regime, iova))
    if page_bits == 12:
        return tables_needed(size) * TABLE_WORDS
    second = np.int64(size >> entry_shift(page_bits, 2)) + np.int64(size >> entry_shift(page_bits, 1))
    return (second + 9) << (page_bits - 3)  # one more for the alignment of the first
