"""TLB maintenance: what each kind of TLBI removes (H2; docs/translation.md 5)."""

from __future__ import annotations

import numpy as np

from smmucore import tlb
from smmucore.kernel import inlined, kernel
from smmucore.mmu import input_address
from smmucore.shapes import DEPTHS
from smmucore.tablecache import STAGE_1, STAGE_2, cache_of, reach_bits
from traces.events import (
    TLBI_ALL,
    TLBI_ASID,
    TLBI_IPAS2,
    TLBI_IPAS2_LAST,
    TLBI_KIND_MASK,
    TLBI_SYNC,
    TLBI_VA,
    TLBI_VA_LAST,
    TLBI_VAA,
    TLBI_VAA_LAST,
    TLBI_VMID,
)

U0 = np.uint64(0)
U1 = np.uint64(1)
ALL_ONES = np.uint64((1 << 64) - 1)
ONLY = np.int64(0)
TRANSLATIONS = -1  # in place of a walk cache's depth
#: Page numbers of the lower half of the input are below this.
HALF = (tlb.NUMBER_MASK >> U1) + U1
#: The owner's bits of a word.
OWNER_BITS = tlb.OWNER_MASK << tlb.OWNER_SHIFT


@kernel
def invalidate(mmu, kind, bank, iova, size):
    """Carry out one TLBI event; `kind` is ``TLBI_*``, the range is `iova` and `size`."""
    kind = kind & TLBI_KIND_MASK
    owner = mmu.owners[bank]
    if size == U0 and (kind != TLBI_ALL and kind != TLBI_VMID and kind != TLBI_ASID):
        return  # an empty range
    if owner.alone != 0:
        if kind == TLBI_VA or kind == TLBI_VAA:
            kind = TLBI_IPAS2
        elif kind == TLBI_VA_LAST or kind == TLBI_VAA_LAST:
            kind = TLBI_IPAS2_LAST
    if kind == TLBI_ALL:
        for other in range(mmu.owners.size):
            drop_vmid(mmu, mmu.owners[other])
    elif kind == TLBI_VMID:
        for other in range(mmu.owners.size):
            if mmu.owners[other].vmid == owner.vmid:
                drop_vmid(mmu, mmu.owners[other])
    elif kind == TLBI_ASID:
        if owner.alone == 0:  # nothing of a stage 2 has an ASID
            drop_stage1(mmu, owner.own)
    elif kind == TLBI_IPAS2 or kind == TLBI_IPAS2_LAST:
        first, last = iova, last_of(iova, size)
        drop_range(mmu.ipa, ONLY, owner.stage2, TRANSLATIONS, first, last)
        drop_translations(mmu, owner.stage2, first, last)
        if kind == TLBI_IPAS2:
            drop_tables(mmu, STAGE_2, owner.stage2, first, last)
    elif kind != TLBI_SYNC:
        first = input_address(owner, iova)
        last = last_of(first, size)
        drop_translations(mmu, owner.shared, first, last)
        for other in range(mmu.owners.size):
            row = mmu.owners[other]
            any_asid = kind == TLBI_VAA or kind == TLBI_VAA_LAST
            if other == bank or (any_asid and row.vmid == owner.vmid and row.alone == 0):
                drop_translations(mmu, row.own, first, last)
                if kind == TLBI_VA or kind == TLBI_VAA:
                    drop_tables(mmu, STAGE_1, row.own, first, last)


@inlined
def last_of(first, size):
    """Return the last address of a range, which ends at 2^64 at the latest."""
    return first + min(size - U1, ALL_ONES - first)


@kernel
def drop_translations(mmu, whose, first, last):
    """Remove an owner's translations that meet a range from every TLB."""
    for unit in range(mmu.utlb.words.shape[0]):
        drop_range(mmu.utlb, unit, whose, TRANSLATIONS, first, last)
    drop_range(mmu.tlb, ONLY, whose, TRANSLATIONS, first, last)


@kernel
def drop_tables(mmu, stage, whose, first, last):
    """Remove an owner's tables that meet a range from the walk caches of a stage."""
    for depth in range(DEPTHS):
        drop_range(cache_of(mmu, stage, depth), ONLY, whose, depth, first, last)


@kernel
def drop_stage1(mmu, whose):
    """Remove everything of an owner from TLBs and stage-1 walk caches (TLBIASID)."""
    kind = np.uint64(whose) << tlb.OWNER_SHIFT
    for unit in range(mmu.utlb.words.shape[0]):
        tlb.drop_kind(mmu.utlb, unit, OWNER_BITS, kind)
    tlb.drop_kind(mmu.tlb, ONLY, OWNER_BITS, kind)
    for depth in range(DEPTHS):
        tlb.drop_kind(cache_of(mmu, STAGE_1, depth), ONLY, OWNER_BITS, kind)


@kernel
def drop_vmid(mmu, owner):
    """Remove everything of one bank, of its VMID's global entries, and of its VMID's stage 2 (TLBIVMID)."""
    drop_stage1(mmu, owner.own)
    drop_stage1(mmu, owner.shared)
    drop_stage1(mmu, owner.stage2)
    kind = np.uint64(owner.stage2) << tlb.OWNER_SHIFT
    tlb.drop_kind(mmu.ipa, ONLY, OWNER_BITS, kind)
    for depth in range(DEPTHS):
        tlb.drop_kind(cache_of(mmu, STAGE_2, depth), ONLY, OWNER_BITS, kind)


@kernel
def drop_range(cache, unit, whose, depth, first, last):
    """Remove an owner's entries that meet a range, of every size.

    `depth` is a walk cache's, or TRANSLATIONS.
    """
    seen = cache.units[unit].seen
    while seen != 0:
        size = seen & tlb.CLASS_MASK
        seen >>= tlb.CLASS_BITS
        if depth == TRANSLATIONS:
            shift = np.uint64(size + tlb.CLASS_BASE)
        else:
            shift = reach_bits(size + 10, depth)
        low, high = first >> shift, last >> shift
        # Where numbers are cut short, those of the upper half of the input are the upper half of them.
        above = ALL_ONES >> shift
        if above <= tlb.NUMBER_MASK:
            tlb.drop_range(cache, unit, whose, size, low, high)
            continue
        if low < HALF:
            tlb.drop_range(cache, unit, whose, size, low, min(high, HALF - U1))
        upper = above - (HALF - U1)
        if high >= upper:
            low = max(low, upper) & tlb.NUMBER_MASK
            tlb.drop_range(cache, unit, whose, size, low, high & tlb.NUMBER_MASK)
