"""A block of accesses in stages, where none of them faults (design 11).

Which entry is where follows from the pages alone as long as no access of the block faults and no leaf has
another size than expected.  So each cache takes the whole block in turn: runs of accesses to one page, the
micro-TLB, the TLB, the tables, the leaves all together (so that their loads overlap), and then the values.
Where the guess fails the caches are put back, and the block is to be done again in order.

What can be done so: Linux's 4K tables whose leaves are pages of 4K, without global entries, through one TBU.
"""

from __future__ import annotations

import numpy as np

from smmucore import tlb
from smmucore.blocks import chosen, save, save_values, undo, undo_values, use_all
from smmucore.kernel import inlined, kernel
from smmucore.mmu import rights_needed
from smmucore.regime import LINUX_4K
from smmucore.stages import is_alike, split, split_alike
from smmucore.walks import find_tables, read_leaves

U0 = np.uint64(0)
U1 = np.uint64(1)
ONLY = np.int64(0)
PAGE_CLASS = np.int64(1)  # of 4K
NOBODY = np.uint16(0xFFFF)


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
    made.alike = 0
    end = at + n
    if is_alike(ev.requester[at:end]) and is_alike(ev.op[at:end]) and is_alike(ev.prot[at:end]):
        who = np.int64(ev.requester[at])
        need = rights_needed(np.int64(ev.op[at]), np.int64(ev.prot[at]))
        made.need = need
        made.alike = 1
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
