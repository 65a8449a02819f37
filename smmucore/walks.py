"""The walks of a block together: tables by the walk cache, level by level, then the leaves (design 11)."""

from __future__ import annotations

import numpy as np

from smmucore import tlb
from smmucore.blocks import chosen, use_all
from smmucore.descriptors import AF, LAST_LEVEL, NG, OA_MASK, TABLE_OR_PAGE, VALID, XN
from smmucore.kernel import kernel
from smmucore.leaf import made_leaf
from smmucore.lpae import HIERARCHICAL, stage1_rights
from smmucore.memory import word_index
from smmucore.regime import XN_AS_ONE
from smmucore.tablecache import STAGE_1, begin_above, enter_tables

U0 = np.uint64(0)
U1 = np.uint64(1)
U3 = np.uint64(3)
U9 = np.uint64(9)
U12 = np.uint64(12)
U21 = np.uint64(21)
ONLY = np.int64(0)
INDEX = np.uint64(511)
PAGE_BITS = np.int64(12)
NOBODY = np.uint16(0xFFFF)
#: Of a page's key: where the number of its last-level table begins.
REGION_SHIFT = tlb.NUMBER_SHIFT + U9
OWNER = tlb.OWNER_MASK << tlb.OWNER_SHIFT
TABLE_KIND = PAGE_BITS - 10
TABLE_CLASS = np.uint64(TABLE_KIND) << tlb.CLASS_SHIFT
#: Where what tables inherit begins, in a descriptor.
INHERITED = np.uint64(59)
TABLE = VALID | TABLE_OR_PAGE
#: Added before memory's base is taken away, so that no difference is below zero; what that makes of indices.
BIAS = np.uint64(1 << 52)
FIRST = BIAS >> U3
INSIDE = FIRST - U1
#: What makes a descriptor of the last level a page that can be used, and the bits that its rights come from.
PAGE = VALID | TABLE_OR_PAGE | AF
ATTRIBUTES = np.uint64(3 << 6) | XN | NG


@kernel
def stretches(st):
    """Find the stretches of the walks; return how many.

    Their keys are as the walk cache has them: the number of the table, and its granule in place of a size.
    """
    walked, key, start = st.walked_key, st.table_key, st.stretch
    found = U0
    last = ~U0
    for n in range(st.made.walks):
        page = walked[np.uint64(n)]
        here = ((page >> REGION_SHIFT) << tlb.NUMBER_SHIFT) | (page & OWNER) | TABLE_CLASS
        key[found] = here
        start[found] = n
        found += U1 if here != last else U0
        last = here
    start[found] = st.made.walks
    return np.int64(found)


@kernel
def cold_tables(st, mmu, mem, regimes, banks, who, cold):
    """Walk to the tables that the walk cache did not have; tell whether each is there."""
    bank = banks[max(who, 0)]
    if mmu.walk1.info.sets == 0 and mmu.walk2.info.sets == 0 and who >= 0:
        return descend_all(st, mem, regimes[bank], cold)
    for n in range(cold):
        c = np.uint64(n)
        if who < 0:
            bank = banks[st.who[st.missed[st.walked[st.stretch[st.cold[c]]]]]]
        if not upper_table(st, mmu, mem, regimes[bank], mmu.owners[bank], n):
            return False
    return True


@kernel
def descend_all(st, mem, regime, cold):
    """Walk from TTBR to every cold table of one bank, level by level, so that loads overlap."""
    words, table, key, reads = mem.words, st.cold_table, st.cold_key, st.cold_reads
    base = mem.base[0]
    room = FIRST + np.uint64(words.size)
    depth = np.int8(LAST_LEVEL - regime.start_level)
    root = regime.ttbr & OA_MASK
    for n in range(cold):
        table[n] = root
        reads[n] = depth
    good = True
    for level in range(regime.start_level, LAST_LEVEL):
        shift = tlb.NUMBER_SHIFT + np.uint64(18 - 9 * level)
        for n in range(cold):
            c = np.uint64(n)
            above = table[c]
            entry = ((above & OA_MASK) + BIAS - base >> U3) + ((key[c] >> shift) & INDEX)
            inside = (entry >= FIRST) & (entry < room)
            desc = words[chosen(inside, entry & INSIDE, U0)]
            good &= inside & (desc & TABLE == TABLE)
            table[c] = (desc & OA_MASK) | ((desc | above) & HIERARCHICAL)
    return good


@kernel
def upper_table(st, mmu, mem, regime, owner, c):
    """Walk to one table of the last level by way of the walk caches above; tell whether it is there.

    They are filled at once: if the block fails they are put back.
    """
    va = (st.cold_key[c] >> tlb.NUMBER_SHIFT) << U21
    start, level = begin_above(mmu, STAGE_1, owner.own, PAGE_BITS, regime.start_level, va)
    if level == regime.start_level:
        start = regime.ttbr & OA_MASK
    table = start & ~HIERARCHICAL
    inherited = start & HIERARCHICAL
    st.cold_reads[c] = LAST_LEVEL - level
    while level < LAST_LEVEL:
        index = (va >> np.uint64(39 - 9 * level)) & INDEX
        entry = word_index(mem, table + (index << U3))
        if entry < 0:
            return False
        desc = mem.words[entry]
        if desc & TABLE != TABLE:
            return False
        mmu.trail[STAGE_1, level] = table | inherited
        mmu.walked.last = level
        inherited |= desc & HIERARCHICAL
        table = desc & OA_MASK
        level += 1
    enter_tables(mmu)
    st.cold_table[c] = table | inherited
    return True


@kernel
def find_tables(st, mmu, mem, regimes, banks, who):
    """Find where the leaf of each walk is; tell whether every one has a table of the last level."""
    made = st.made
    count = stretches(st)
    cached = mmu.walk0
    stretch, table_key, cold_at = st.stretch, st.table_key, st.cold
    if cached.info.sets != 0:
        cold = use_all(cached, ONLY, table_key, count, st.table_slot, st.cold_key, cold_at)
        cached.units[0].seen = tlb.with_class(cached.units[0].seen, TABLE_KIND)
    else:
        # Nothing remembers a table: every walk is a stretch of its own, and cold.
        count = made.walks
        for n in range(count):
            page = st.walked_key[n]
            st.cold_key[n] = ((page >> REGION_SHIFT) << tlb.NUMBER_SHIFT) | (page & OWNER) | TABLE_CLASS
            stretch[n] = n
            cold_at[n] = n
            st.table_slot[n] = 0
        stretch[count] = count
        cold = count
    if not cold_tables(st, mmu, mem, regimes, banks, who, cold):
        return False
    return place_leaves(st, mem, count, settle_tables(st, cached.values[0], count, cold))


@kernel
def settle_tables(st, values, count, cold):
    """Give the walk cache's entries their values, in order, and each stretch its table.

    Returns the descriptors read above the last level.
    """
    slots, cold_at, cold_table, cold_reads = st.table_slot, st.cold, st.cold_table, st.cold_reads
    table_of, above = st.table, st.above
    cold_at[cold] = NOBODY
    more = np.int64(0)
    c = U0
    for n in range(count):
        m = np.uint64(n)
        is_cold = cold_at[c] == m
        slot = np.uint64(slots[m])
        table = chosen(is_cold, cold_table[c], values[slot])
        values[slot] = table
        table_of[m] = table
        extra = np.int64(is_cold) * cold_reads[c]
        above[m] = extra
        more += extra
        c += np.uint64(is_cold)
    return more


@kernel
def place_leaves(st, mem, count, more):
    """Find where each walk's leaf is; tell whether every table lies in memory."""
    stretch, table_of, above = st.stretch, st.table, st.above
    walked_key, line, inherited, reads = st.walked_key, st.line, st.inherited, st.reads
    base = mem.base[0]
    room = FIRST + np.uint64(mem.words.size)
    walks = st.made.walks
    st.made.reads = walks + more
    good = True
    if count == walks:  # a table each: most often so where accesses are all over the place
        for n in range(walks):
            w = np.uint64(n)
            table = table_of[w]
            first = (table & OA_MASK) + BIAS - base >> U3
            good &= (first >= FIRST) & (first + INDEX < room)
            line[w] = (first & INSIDE) + ((walked_key[w] >> tlb.NUMBER_SHIFT) & INDEX)
            inherited[w] = (table & HIERARCHICAL) >> INHERITED
            reads[w] = 1 + above[w]
        return good
    for n in range(count):
        m = np.uint64(n)
        table = table_of[m]
        first = (table & OA_MASK) + BIAS - base >> U3
        good &= (first >= FIRST) & (first + INDEX < room)
        first &= INSIDE
        inherit = (table & HIERARCHICAL) >> INHERITED
        w = np.uint64(stretch[m])
        end = np.uint64(stretch[m + U1])
        reads_of_first = 1 + above[m]
        reads[w] = reads_of_first
        while True:
            line[w] = first + ((walked_key[w] >> tlb.NUMBER_SHIFT) & INDEX)
            inherited[w] = inherit
            w += U1
            if w >= end:
                break
            reads[w] = 1
    return good


@kernel
def read_leaves(st, mmu, mem):
    """Read all leaves, and make translations of them; tell whether each is a page without a fault.

    The rights of one are most often those of the one before.
    """
    words, line, found, inherits = mem.words, st.line, st.found, st.inherited
    walks = st.made.walks
    for w in range(walks):
        found[w] = words[line[w]]
    attributes = ~U0
    inherited = np.uint8(0)
    bits = U0
    common = ~U0
    good = PAGE
    for w in range(walks):
        desc = found[w]
        good &= desc
        if desc & ATTRIBUTES != attributes or inherits[w] != inherited:
            attributes = desc & ATTRIBUTES
            inherited = inherits[w]
            if attributes & NG == U0:
                return False
            rights = stage1_rights(desc, np.uint64(inherited) << INHERITED, XN_AS_ONE)
            common &= rights
            bits = made_leaf(U0, U12, LAST_LEVEL, rights)
        found[w] = (desc & OA_MASK) | bits
    mmu.walked.common &= common
    return good == PAGE
