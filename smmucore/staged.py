"""A block of accesses in stages, where none of them faults (design 11).

Which entry is where follows from the pages alone as long as no access of the block faults and no leaf has
another size than expected.  So each cache takes the whole block in turn: runs of accesses to one page, the
micro-TLB, the TLB, the tables, the leaves all together (so that their loads overlap), and then the values.
Where the guess fails the caches are put back, and the block is to be done again in order.

What can be done so: Linux's 4K tables whose leaves are pages of 4K, without global entries, through one TBU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from smmucore import tlb
from smmucore.blocks import chosen, save, save_values, undo, undo_values, use_all
from smmucore.descriptors import AF, LAST_LEVEL, NG, OA_MASK, TABLE_OR_PAGE, VALID, XN
from smmucore.kernel import inlined, kernel
from smmucore.leaf import made_leaf
from smmucore.lpae import HIERARCHICAL, stage1_rights
from smmucore.memory import word_index
from smmucore.mmu import rights_needed
from smmucore.regime import LINUX_4K, XN_AS_ONE
from smmucore.state import State, array, record
from smmucore.tablecache import STAGE_1, begin_above, enter_tables
from traces.events import EXEC

#: Accesses of a block.  Their keys, slots and leaves stay in a first-level data cache.
BLOCK = 1024

#: Fewer accesses are done in order.
FEWEST = 32

U0 = np.uint64(0)
U1 = np.uint64(1)
U3 = np.uint64(3)
U9 = np.uint64(9)
U12 = np.uint64(12)
U21 = np.uint64(21)
INDEX = np.uint64(511)
PAGE_CLASS = np.int64(1)  # of 4K
PAGE_BITS = np.int64(12)
REGION_SHIFT = tlb.NUMBER_SHIFT + U9
OWNER = tlb.OWNER_MASK << tlb.OWNER_SHIFT
TABLE_KIND = PAGE_BITS - 10
TABLE_CLASS = np.uint64(TABLE_KIND) << tlb.CLASS_SHIFT
NOBODY = np.uint16(0xFFFF)
#: Where what tables inherit begins, in a descriptor.
INHERITED = np.uint64(59)
TABLE = VALID | TABLE_OR_PAGE
#: What makes a descriptor of the last level a page that can be used, and the bits that its rights come from.
PAGE = VALID | TABLE_OR_PAGE | AF
ATTRIBUTES = np.uint64(3 << 6) | XN | NG
ONLY = np.int64(0)
#: As many addresses are compared at once with the page of the last one.
GROUP_SIZE = 16
GROUP = np.uint64(GROUP_SIZE)

MADE = np.dtype(
    [
        ("runs", "i8"),
        ("misses", "i8"),
        ("walks", "i8"),
        ("reads", "i8"),
        ("need", "u8"),  # all rights that the block needs
        ("fails", "i8"),  # blocks in a row that could not be done in stages
        ("wait", "i8"),  # blocks to be done in order before the next try
    ],
    align=True,
)


class Stages(State):
    """The block between its stages; all have a place more than it needs.

    A run is a number of accesses to one page, one after the other.  `missed` are the runs that missed the
    micro-TLB, `walked` those of them that missed the TLB too.  A stretch is a number of walks with one table
    of the last level; `cold` are those whose table the walk cache did not have.
    """

    key = array(np.uint64)  # of each run
    start = array(np.uint16)  # its first access
    who = array(np.uint16)  # its requester
    need = array(np.uint16)
    slot = array(np.uint16)  # in the micro-TLB
    leaf = array(np.uint64)
    missed = array(np.uint16)  # run
    missed_key = array(np.uint64)
    main_slot = array(np.uint16)  # in the TLB
    walked = array(np.uint16)  # index in `missed`
    walked_key = array(np.uint64)
    stretch = array(np.uint16)  # its first walk
    table_key = array(np.uint64)  # of each stretch
    table_slot = array(np.uint16)  # in the walk cache
    cold = array(np.uint16)  # stretch
    cold_key = array(np.uint64)
    cold_table = array(np.uint64)
    cold_reads = array(np.int8)
    line = array(np.uint32)  # where in memory each walk's leaf is
    inherited = array(np.uint8)
    reads = array(np.uint8)
    found = array(np.uint64)  # the leaf's descriptor, then the translation
    issued = array(np.int64)  # of each access, where time counts
    ended = array(np.int64)
    place = array(np.int64)  # the slot it took
    made = record(MADE)


def stages() -> Stages:
    """Return room for a block."""
    made: dict[str, Any] = {}
    for name, field in Stages.fields.items():
        if name == "made":
            made[name] = np.zeros(1, MADE).view(np.recarray)[0]
        else:
            made[name] = np.zeros(BLOCK + 1, field.of)
    return Stages(**made)


@kernel
def is_alike(column):
    """Tell whether a column has one value."""
    first = column[0]
    apart = first ^ first
    for k in range(column.size):
        apart |= column[k] ^ first
    return apart == 0


@kernel
def split_alike(key, start, iova, kind):
    """Find the runs of a block of one requester and kind.

    Returns how many, and all address bits that are set.
    """
    runs = U0
    seen = U0
    last = ~iova[0]
    n = np.uint64(iova.size)
    k = U0
    while k < n:
        if k + GROUP <= n:
            apart = U0
            for i in range(GROUP_SIZE):
                apart |= iova[k + np.uint64(i)] ^ last
            if apart >> U12 == U0:
                k += GROUP
                continue
        stop = min(k + GROUP, n)
        while k < stop:
            address = iova[k]
            key[runs] = ((address >> U12) << tlb.NUMBER_SHIFT) | kind
            start[runs] = k
            runs += U1 if (address ^ last) >> U12 != U0 else U0
            seen |= address
            last = address
            k += U1
    start[runs] = n
    return np.int64(runs), seen


@kernel
def split(st, ev, at, n, kinds):
    """Find the runs of a mixed block; return how many, and all address bits that are set."""
    runs = -1
    seen = U0
    last = U0
    for k in range(at, at + n):
        address = ev.iova[k]
        who = np.int64(ev.requester[k])
        need = rights_needed(np.int64(ev.op[k]), np.int64(ev.prot[k]))
        key = ((address >> U12) << tlb.NUMBER_SHIFT) | kinds[who]
        seen |= address
        if runs < 0 or key != last:
            runs += 1
            last = key
            st.key[runs] = key
            st.start[runs] = k - at
            st.who[runs] = who
            st.need[runs] = need
        else:
            st.need[runs] |= np.uint16(need)
        st.made.need |= need
    runs += 1
    st.start[runs] = n
    return runs, seen


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
    room = np.uint64(words.size)
    depth = np.int8(LAST_LEVEL - regime.start_level)
    root = regime.ttbr & (OA_MASK | HIERARCHICAL)
    for n in range(cold):
        table[n] = root
        reads[n] = depth
    good = True
    for level in range(regime.start_level, LAST_LEVEL):
        shift = tlb.NUMBER_SHIFT + np.uint64(18 - 9 * level)
        for n in range(cold):
            c = np.uint64(n)
            above = table[c]
            entry = ((above & OA_MASK) - base >> U3) + ((key[c] >> shift) & INDEX)
            inside = entry < room
            desc = words[chosen(inside, entry, U0)]
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
        start = regime.ttbr & (OA_MASK | HIERARCHICAL)
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
    values, slots, cold_table, cold_reads = cached.values[0], st.table_slot, st.cold_table, st.cold_reads
    walked_key, line, inherited, reads = st.walked_key, st.line, st.inherited, st.reads
    base = mem.base[0]
    room = np.uint64(mem.words.size)
    good = True
    more = np.int64(0)
    cold_at[cold] = NOBODY
    c = U0
    w = U0
    for n in range(count):
        m = np.uint64(n)
        is_cold = cold_at[c] == m
        slot = np.uint64(slots[m])
        table = chosen(is_cold, cold_table[c], values[slot])
        values[slot] = table
        first = (table & OA_MASK) - base >> U3
        good &= first < room
        inherit = (table & HIERARCHICAL) >> INHERITED
        extra = np.int64(is_cold) * cold_reads[c]
        more += extra
        c += np.uint64(is_cold)
        reads[w] = 1 + extra
        line[w] = first + ((walked_key[w] >> tlb.NUMBER_SHIFT) & INDEX)
        inherited[w] = inherit
        w += U1
        end = np.uint64(stretch[m + U1])
        while w < end:
            reads[w] = 1
            line[w] = first + ((walked_key[w] >> tlb.NUMBER_SHIFT) & INDEX)
            inherited[w] = inherit
            w += U1
    made.reads = made.walks + more
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


@kernel
def settle(st, mmu, tbu):
    """Give the entries of both TLBs their values, in order."""
    values, main = mmu.utlb.values[tbu], mmu.tlb.values[0]
    slots, main_slots, missed, walked, found = st.slot, st.main_slot, st.missed, st.walked, st.found
    walked[st.made.walks] = NOBODY
    w = U0
    for n in range(st.made.misses):
        m = np.uint64(n)
        slot = main_slots[m]
        is_walk = walked[w] == m
        value = chosen(is_walk, found[w], main[slot])
        w += np.uint64(is_walk)
        main[slot] = value
        values[slots[missed[m]]] = value


@kernel
def settle_runs(st, mmu, tbu, need):
    """As `settle`, and find each run's translation; tell whether it gives what the run needs."""
    values, main = mmu.utlb.values[tbu], mmu.tlb.values[0]
    st.missed[st.made.misses] = NOBODY
    st.walked[st.made.walks] = NOBODY
    m = U0
    w = U0
    lacking = U0
    for n in range(st.made.runs):
        r = np.uint64(n)
        if st.missed[m] == r:
            slot = st.main_slot[m]
            if st.walked[w] == m:
                main[slot] = st.found[w]
                w += U1
            values[st.slot[r]] = main[slot]
            m += U1
        leaf = values[st.slot[r]]
        st.leaf[r] = leaf
        lacking |= (need if need != U0 else np.uint64(st.need[r])) & ~leaf
    return lacking == U0


@kernel
def can_stage(mmu, regimes):
    """Tell whether these caches and tables are of the kind that a block can go through in stages."""
    for unit in range(mmu.utlb.units.size):
        seen = mmu.utlb.units[unit].seen
        if seen != 0 and seen != PAGE_CLASS:
            return False
    seen = mmu.tlb.units[0].seen
    if (seen != 0 and seen != PAGE_CLASS) or mmu.tlb.info.globals != 0:
        return False
    for bank in range(regimes.size):
        if regimes[bank].format != LINUX_4K:
            return False
    return True


@inlined
def keep(mmu, tbu):
    """Save what a block changes."""
    save(mmu.utlb, tbu)
    save(mmu.tlb, ONLY)
    save(mmu.walk0, ONLY)
    save(mmu.walk1, ONLY)
    save(mmu.walk2, ONLY)
    save_values(mmu.walk0, ONLY)
    save_values(mmu.walk1, ONLY)
    save_values(mmu.walk2, ONLY)


@kernel
def put_back_values(mmu, tbu):
    """Put the values of both TLBs back."""
    undo_values(mmu.utlb, tbu)
    undo_values(mmu.tlb, ONLY)


@kernel
def put_back(mmu, tbu):
    """Put everything back as `keep` found it."""
    undo(mmu.utlb, tbu)
    undo(mmu.tlb, ONLY)
    undo(mmu.walk0, ONLY)
    undo(mmu.walk1, ONLY)
    undo(mmu.walk2, ONLY)
    undo_values(mmu.walk0, ONLY)
    undo_values(mmu.walk1, ONLY)
    undo_values(mmu.walk2, ONLY)


@kernel
def translate_block(st, mmu, mem, regimes, banks, kinds, tbu, ev, at, n, each, careful):
    """Translate the `n` accesses from `at` on, if none faults; else change nothing.

    Parameters
    ----------
    st : Stages
        Filled: runs, misses, walks.
    mmu : Mmu
        As `can_stage` says.
    mem : Memory
    regimes : REGIME (banks,)
    banks : int64 (requesters,)
        Bank of each requester; all of one TBU.
    kinds : uint64 (requesters,)
        Size class and owner of their keys: `kind_of`.
    tbu : int64
    ev : Events
    at, n : int64
        At most BLOCK accesses.
    each : bool
        Whether each run's translation is wanted, in ``st.leaf``.
    careful : bool
        The caller may have to `put_back` and `put_back_values`.

    Returns
    -------
    bool
        False: something faults, or is not as expected, and the block is to be done in order.
    """
    made = st.made
    who = np.int64(-1)
    need = U0
    made.need = U0
    end = at + n
    if is_alike(ev.requester[at:end]) and is_alike(ev.op[at:end]) and is_alike(ev.prot[at:end]):
        who = np.int64(ev.requester[at])
        need = rights_needed(np.int64(ev.op[at]), np.int64(ev.prot[at]))
        made.need = need
        runs, seen = split_alike(st.key, st.start, ev.iova[at:end], kinds[who])
        ias = regimes[banks[who]].ias
    else:
        runs, seen = split(st, ev, at, n, kinds)
        ias = regimes[banks[0]].ias
        for k in range(1, banks.size):
            ias = min(ias, regimes[banks[k]].ias)
    if seen >> np.uint64(ias) != U0:
        return False
    made.runs = runs
    keep(mmu, tbu)
    mmu.utlb.units[tbu].seen = PAGE_CLASS
    mmu.tlb.units[0].seen = PAGE_CLASS
    made.misses = use_all(mmu.utlb, tbu, st.key, runs, st.slot, st.missed_key, st.missed)
    made.walks = use_all(mmu.tlb, ONLY, st.missed_key, made.misses, st.main_slot, st.walked_key, st.walked)
    made.reads = 0
    common = mmu.walked.common
    if made.walks != 0:
        if not find_tables(st, mmu, mem, regimes, banks, who) or not read_leaves(st, mmu, mem):
            put_back(mmu, tbu)
            mmu.walked.common = common
            return False
    in_doubt = made.need & ~mmu.walked.common != U0
    if in_doubt or careful:
        save_values(mmu.utlb, tbu)
        save_values(mmu.tlb, ONLY)
    if each or in_doubt:
        if not settle_runs(st, mmu, tbu, need):
            put_back_values(mmu, tbu)
            put_back(mmu, tbu)
            mmu.walked.common = common
            return False
    else:
        settle(st, mmu, tbu)
    return True


@inlined
def kind_of(owner):
    """Return the part of a 4K page's key that its number has no part in."""
    return tlb.key_of(owner.own, PAGE_CLASS, U0)


@kernel
def block_failed(st):
    """Note that a block had to be done in order; where one after the other has to, fewer are tried."""
    made = st.made
    made.fails = min(made.fails + 1, 6)
    made.wait = (1 << made.fails) - 2


@inlined
def is_worth_a_try(st):
    """Tell whether the next block is to be tried in stages."""
    made = st.made
    if made.wait == 0:
        return True
    made.wait -= 1
    return False


@kernel
def accesses_ahead(op, at):
    """Return how many accesses come next without another event, at most a block of them."""
    ahead = op[at : at + BLOCK]
    others = 0
    for k in range(ahead.size):
        others += ahead[k] > EXEC
    if others == 0:
        return ahead.size
    k = 0
    while ahead[k] <= EXEC:
        k += 1
    return k
