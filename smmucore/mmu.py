"""From an IOVA to an answer: micro-TLB, TLB, walk cache, walk; and their invalidation (H2).

A translation has two halves, because a miss may have to wait for a walk slot: `look_up` changes
nothing when it misses, and `walk_and_fill` does the rest when the walk starts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from smmucore import tlb
from smmucore.kernel import inlined, kernel
from smmucore.leaf import NEED_PRIVILEGED, NEED_UNPRIVILEGED, size_of
from smmucore.regime import last_table_bits
from smmucore.registers import FSR_PF
from smmucore.tlb import Cache, cache
from smmucore.walk import fault_level_of, leaf_level_of, output_address, walk
from traces.events import (
    PROT_PRIV,
    TLBI_ALL,
    TLBI_ASID,
    TLBI_KIND_MASK,
    TLBI_VA_LAST,
)

U0 = np.uint64(0)

# Typed, because numba would compile a kernel once more for a literal.
ONLY = np.int64(0)  # the one unit of the TLB and of the walk cache
AT_ONCE = np.int64(0)  # an entry whose walk has ended already, as far as is known yet

# Where an answer came from.
MISS = -1
FROM_UTLB = 0
FROM_TLB = 1
FROM_WALK = 2


class Mmu(NamedTuple):
    """The caches of one SMMU: a micro-TLB for each TBU, one TLB, one walk cache."""

    utlb: Cache
    tlb: Cache
    walk_cache: Cache


def mmu(utlb: tuple[int, int], main: tuple[int, int], walk_cache: tuple[int, int], tbus: int = 1) -> Mmu:
    """Return empty caches; each geometry is (sets, ways)."""
    return Mmu(cache(*utlb, units=tbus), cache(*main), cache(*walk_cache))


@inlined
def rights_needed(op, prot):
    """Return the rights an access needs of its page."""
    return (NEED_UNPRIVILEGED if prot & PROT_PRIV == 0 else NEED_PRIVILEGED) << np.uint64(op)


@inlined
def look_up(mmu, tbu, bank, iova):
    """Look in the micro-TLB, then the TLB.

    Returns
    -------
    source : int64
        FROM_UTLB, FROM_TLB (the micro-TLB is filled), or MISS (nothing changed).
    leaf : uint64
        The translation, or 0.
    ready : int64
        When the walk that filled the entry ends.
    """
    tags, values, ready = mmu.utlb.tags[tbu], mmu.utlb.values[tbu], mmu.utlb.ready[tbu]
    seen = mmu.utlb.seen[tbu]
    rest = seen
    while rest != 0:
        at = tlb.find(tags, values, ready, mmu.utlb.ways[0], tlb.tag_of(bank, rest & tlb.CLASS_MASK, iova))
        if at >= 0:
            return FROM_UTLB, values[at], ready[at]
        rest >>= tlb.CLASS_BITS
    main = mmu.tlb
    rest = main.seen[0]
    while rest != 0:
        size = rest & tlb.CLASS_MASK
        tag = tlb.tag_of(bank, size, iova)
        at = tlb.find(main.tags[0], main.values[0], main.ready[0], main.ways[0], tag)
        if at >= 0:
            leaf = main.values[0, at]
            when = main.ready[0, at]
            mmu.utlb.seen[tbu] = tlb.with_class(seen, size)
            tlb.insert(tags, values, ready, mmu.utlb.ways[0], tag, leaf, when)
            return FROM_TLB, leaf, when
        rest >>= tlb.CLASS_BITS
    return MISS, U0, np.int64(0)


@inlined
def check_rights(leaf, need):
    """Return 0 if `leaf` allows what is needed, else the permission fault's FSR bit."""
    return 0 if leaf & need == need else FSR_PF


@kernel
def walk_and_fill(mmu, mem, regime, tbu, bank, iova, need):
    """Walk, from the walk cache where it can, and fill all three caches on success.

    A walk that ends in a permission fault is a faulting walk: it fills nothing (H2).

    Returns
    -------
    fault : int64
        0 or an FSR bit.
    level : int64
        Level reached.
    leaf : uint64
        The translation, or 0.
    reads : int64
        Descriptors read from memory.
    """
    # One entry covers one last-level table, 2 MiB of IOVA with a 4K granule.
    reach = last_table_bits(regime, iova) - tlb.CLASS_BASE
    key = tlb.tag_of(bank, reach, iova)
    wc = mmu.walk_cache
    at = tlb.find(wc.tags[0], wc.values[0], wc.ready[0], wc.ways[0], key)
    cached = wc.values[0, at] if at >= 0 else U0
    fault, level, leaf, last_table, reads = walk(mem, regime, iova, need, cached)
    if fault == 0:
        fault = check_rights(leaf, need)
        if fault != 0:
            level = fault_level_of(leaf, need)
    if fault == 0:
        if last_table != U0:
            if wc.seen[0] & tlb.CLASS_MASK != reach:
                wc.seen[0] = tlb.with_class(wc.seen[0], reach)
            tlb.insert(wc.tags[0], wc.values[0], wc.ready[0], wc.ways[0], key, last_table, AT_ONCE)
        size = size_of(leaf) - tlb.CLASS_BASE
        tag = tlb.tag_of(bank, size, iova)
        _fill(mmu.tlb, ONLY, size, tag, leaf)
        _fill(mmu.utlb, tbu, size, tag, leaf)
    return fault, level, leaf, reads


@kernel
def _fill(which, unit, size, tag, leaf):
    if which.seen[unit] & tlb.CLASS_MASK != size:
        which.seen[unit] = tlb.with_class(which.seen[unit], size)
    tlb.insert(which.tags[unit], which.values[unit], which.ready[unit], which.ways[0], tag, leaf, AT_ONCE)


@kernel
def filled_at(mmu, tbu, bank, iova, leaf, done):
    """Say when the walk ends that has just filled both TLBs with `leaf`."""
    tag = tlb.tag_of(bank, size_of(leaf) - tlb.CLASS_BASE, iova)
    mmu.tlb.ready[0, tlb.first_way(mmu.tlb.tags[0], mmu.tlb.ways[0], tag)] = done
    mmu.utlb.ready[tbu, tlb.first_way(mmu.utlb.tags[tbu], mmu.utlb.ways[0], tag)] = done


@kernel
def invalidate(mmu, kind, bank, iova, size):
    """Carry out one TLBI event; `kind` is ``TLBI_*``."""
    kind = kind & TLBI_KIND_MASK
    for unit in range(mmu.utlb.tags.shape[0]):
        _invalidate_one(mmu.utlb, unit, kind, bank, iova, size)
    _invalidate_one(mmu.tlb, ONLY, kind, bank, iova, size)
    if kind != TLBI_VA_LAST:
        _invalidate_one(mmu.walk_cache, ONLY, kind, bank, iova, size)


@kernel
def _invalidate_one(which, unit, kind, bank, iova, size):
    tags, values, ready = which.tags[unit], which.values[unit], which.ready[unit]
    ways = which.ways[0]
    if kind == TLBI_ALL:
        tags[:] = U0
        values[:] = U0
    elif kind == TLBI_ASID:
        tlb.invalidate_bank(tags, values, ready, ways, bank)
    else:
        tlb.invalidate_range(tags, values, ready, ways, which.seen[unit], bank, iova, size)


@kernel
def translate(mmu, mem, regime, tbu, bank, iova, need):
    """Translate one access with no regard to time.

    Returns
    -------
    fault : int64
        0 or an FSR bit.
    level : int64
        Level of the leaf, or of the walk that faulted.
    pa : uint64
        Output address; 0 on a fault.
    source : int64
        FROM_UTLB, FROM_TLB or FROM_WALK.
    reads : int64
        Descriptors read.
    """
    source, leaf, _ = look_up(mmu, tbu, bank, iova)
    if source == MISS:
        source = FROM_WALK
        fault, level, leaf, reads = walk_and_fill(mmu, mem, regime, tbu, bank, iova, need)
    else:
        fault = check_rights(leaf, need)
        level = leaf_level_of(leaf) if fault == 0 else fault_level_of(leaf, need)
        reads = 0
    pa = U0 if fault else output_address(leaf, iova)
    return fault, level, pa, source, reads
