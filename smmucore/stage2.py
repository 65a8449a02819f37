"""Stage 2, alone or under a stage 1 (H3)."""

from __future__ import annotations

import numpy as np

from smmucore import tlb
from smmucore.descriptors import (
    AP_RDONLY,
    AP_UNPRIV,
    U0,
    U1,
    U3,
    UXN,
    entry_shift,
)
from smmucore.kernel import inlined, kernel
from smmucore.leaf import (
    LEAF_LEVEL_MASK,
    LEAF_S2_LEVEL_SHIFT,
    S2_EXEC,
    S2_READ,
    S2_WRITE,
    STAGE1_RIGHTS,
    STAGE2_RIGHTS,
    STAGE_2,
    TABLE_OF_STAGE_1,
    made_leaf,
    output_address,
    size_of,
)
from smmucore.lpae import HIERARCHICAL, IS_LEAF, IS_TABLE, covered, descend, globality, judge, stage1_rights
from smmucore.memory import word_index
from smmucore.regime import NOWHERE, XN_ARM, half, half_of, sign_extended, table_base
from smmucore.registers import FSR_ASF, FSR_EF, FSR_PF, FSR_TF
from smmucore.tablecache import STAGE_1, begin, enter_tables
from smmucore.tablecache import STAGE_2 as STAGE_2_TABLES

ONLY = np.int64(0)
CONCATENATED = 4  # log2 of the start tables that may lie side by side
NOTHING = np.uint64(0)  # tables of stage 2 hand nothing down
S2AP_READ = AP_UNPRIV
S2AP_WRITE = AP_RDONLY


@inlined
def stage2_rights(desc, execute):
    """Return the rights of a stage-2 leaf: S2AP and XN.  Execution needs reads, but by Arm's rules."""
    rights = STAGE1_RIGHTS
    if desc & S2AP_READ != U0:
        rights |= S2_READ
    if desc & S2AP_WRITE != U0:
        rights |= S2_WRITE
    if desc & UXN == U0 and (execute == XN_ARM or desc & S2AP_READ != U0):
        rights |= S2_EXEC
    return rights


@kernel
def descend_stage2(mmu, mem, owner, ttbr, ias, start_level, page_bits, oas, affd, iova):
    """Walk an IPA; return what `smmucore.lpae.descend` does but what is inherited.

    A start level that resolves no bit of the input, or more than sixteen tables hold, and an IPA beyond
    the input size are translation faults at level 0, without a read.
    """
    bits = ias - np.int64(entry_shift(page_bits, start_level))
    if iova >> np.uint64(ias) != U0 or bits < 1 or bits > page_bits - 3 + CONCATENATED:
        return FSR_TF, np.int64(0), U0, U0, np.int64(0)
    start, level = begin(mmu, STAGE_2_TABLES, owner.stage2, page_bits, start_level, iova)
    if level == start_level:
        start = table_base(ttbr, ias, level, page_bits, oas)
        if start >> np.uint64(oas) != U0:
            return FSR_ASF, np.int64(0), U0, U0, np.int64(0)
    else:
        bits = page_bits - 3
    mask = (U1 << np.uint64(bits)) - U1
    trail = mmu.trail[STAGE_2_TABLES]
    fault, level, desc, pa, _, reads = descend(
        mem, trail, start, level, mask, page_bits, oas, affd, NOTHING, iova
    )
    if fault == 0:
        mmu.walked.last = level
    return fault, level, desc, pa, reads


@kernel
def walk_stage2(mmu, mem, regime, owner, iova):
    """Walk a stage 2 alone; returns what `smmucore.walk.walk` does."""
    page_bits = 12 + regime.granule
    fault, level, desc, pa, reads = descend_stage2(
        mmu,
        mem,
        owner,
        regime.ttbr,
        regime.ias,
        regime.start_level,
        page_bits,
        regime.oas,
        regime.affd,
        iova,
    )
    if fault != 0:
        return fault, level | STAGE_2, U0, reads
    size = covered(desc, pa, iova, level, page_bits, regime.runs)
    leaf = made_leaf(pa, size, level, stage2_rights(desc, regime.execute))
    leaf |= np.uint64(level) << LEAF_S2_LEVEL_SHIFT
    return np.int64(0), level, leaf, reads


@kernel
def under_stage2(mmu, mem, regime, owner, ipa):
    """Translate an IPA of a nested regime, by the IPA cache or a walk of stage 2, which fills it.

    Returns
    -------
    fault, level : int64
    leaf : uint64
        As the IPA cache holds it: the address of what it covers, rights, sizes.
    reads : int64
    """
    if ipa >> np.uint64(regime.s2_ias) == U0:
        ipas = mmu.ipa
        rest = ipas.units[0].seen
        while rest != 0:
            slot = tlb.find(ipas, ONLY, tlb.page_key(owner.stage2, rest & tlb.CLASS_MASK, ipa))
            if slot >= 0:
                leaf = ipas.values[0, slot]
                return (
                    np.int64(0),
                    np.int64((leaf >> LEAF_S2_LEVEL_SHIFT) & LEAF_LEVEL_MASK),
                    leaf,
                    np.int64(0),
                )
            rest >>= tlb.CLASS_BITS
    page_bits = 12 + regime.s2_granule
    fault, level, desc, page, reads = descend_stage2(
        mmu,
        mem,
        owner,
        regime.s2_ttbr,
        regime.s2_ias,
        regime.s2_start_level,
        page_bits,
        regime.s2_oas,
        regime.s2_affd,
        ipa,
    )
    if fault != 0:
        return fault, level, U0, reads
    enter_tables(mmu)
    size = covered(desc, page, ipa, level, page_bits, regime.runs)
    leaf = made_leaf(page, size, level, stage2_rights(desc, regime.s2_execute))
    leaf |= np.uint64(level) << LEAF_S2_LEVEL_SHIFT
    if mmu.ipa.info.sets != 0:
        bits = np.int64(size) - tlb.CLASS_BASE
        tlb.note_class(mmu.ipa, ONLY, bits)
        mmu.ipa.values[0, tlb.insert(mmu.ipa, ONLY, tlb.page_key(owner.stage2, bits, ipa))] = leaf
    return fault, level, leaf, reads


@kernel
def walk_nested(mmu, mem, regime, owner, iova, need):
    """Walk stage 1 with every table address, and then the output, translated by stage 2.

    Stage 1 is complete, its permissions too, before stage 2 sees its output.  A fault's level says the
    stage, and whether stage 2 was asked for a table (`STAGE_2`, `TABLE_OF_STAGE_1`).  A table is read as
    data whatever the access is.

    Returns what `smmucore.walk.walk` does.
    """
    reads = np.int64(0)
    va = sign_extended(regime, iova)
    which = half_of(regime, va)
    if which == NOWHERE:
        return FSR_TF, np.int64(0), U0, reads
    ttbr, ias, start_level, page_bits = half(regime, which)
    start, level = begin(mmu, STAGE_1, owner.own, page_bits, start_level, va)
    first = mmu.walked.first  # stage 2 has walks of its own in between
    bits = np.uint64(page_bits - 3)
    if level == start_level:
        start = table_base(ttbr, ias, level, page_bits, regime.oas)
        bits = np.uint64(ias) - entry_shift(page_bits, level)
        if start >> np.uint64(regime.oas) != U0:
            return FSR_ASF, np.int64(0), U0, reads
    table = start & ~HIERARCHICAL
    inherited = start & HIERARCHICAL
    while True:
        index = (va >> entry_shift(page_bits, level)) & ((U1 << bits) - U1)
        ipa = table + (index << U3)
        fault, s2_level, s2_leaf, more = under_stage2(mmu, mem, regime, owner, ipa)
        reads += more
        if fault == 0 and s2_leaf & S2_READ == U0:
            fault = FSR_PF
        if fault != 0:
            return fault, s2_level | STAGE_2 | TABLE_OF_STAGE_1, U0, reads
        entry = word_index(mem, output_address(s2_leaf, ipa))
        if entry < 0:
            return FSR_EF, level, U0, reads
        desc = mem.words[entry]
        reads += 1
        mmu.trail[STAGE_1, level] = table | inherited
        verdict, pa = judge(desc, level, page_bits, regime.oas, regime.affd)
        if verdict == IS_LEAF:
            break
        if verdict != IS_TABLE:
            return verdict, level, U0, reads
        inherited |= desc & HIERARCHICAL
        table = pa
        level += 1
        bits = np.uint64(page_bits - 3)
    rights = stage1_rights(desc, inherited, regime.execute)
    if need & STAGE1_RIGHTS & ~rights != U0:
        return FSR_PF, level, U0, reads
    size = covered(desc, pa, va, level, page_bits, regime.runs)
    ipa = pa | (va & ((U1 << entry_shift(page_bits, level)) - U1))
    fault, s2_level, s2_leaf, more = under_stage2(mmu, mem, regime, owner, ipa)
    reads += more
    if fault != 0:
        return fault, s2_level | STAGE_2, U0, reads
    rights &= s2_leaf & (STAGE1_RIGHTS | STAGE2_RIGHTS)
    if need & STAGE2_RIGHTS & ~rights != U0:
        return FSR_PF, s2_level | STAGE_2, U0, reads
    size = min(size, np.uint64(size_of(s2_leaf)))
    leaf = made_leaf(output_address(s2_leaf, ipa), size, level, rights | globality(desc))
    leaf |= np.uint64(s2_level) << LEAF_S2_LEVEL_SHIFT
    walked = mmu.walked
    walked.address = va
    walked.stage = STAGE_1
    walked.owner = owner.own
    walked.page_bits = page_bits
    walked.first = first
    walked.last = level
    return np.int64(0), level, leaf, reads
