"""Stage 2, alone or under a stage 1 (H3)."""

from __future__ import annotations

import numpy as np

from smmucore.descriptors import (
    AP_RDONLY,
    AP_UNPRIV,
    LAST_LEVEL,
    U0,
    U1,
    U3,
    UXN,
    entry_shift,
)
from smmucore.kernel import inlined, kernel
from smmucore.leaf import (
    LEAF_S2_LEVEL_SHIFT,
    S2_EXEC,
    S2_READ,
    S2_WRITE,
    STAGE1_RIGHTS,
    STAGE2_RIGHTS,
    STAGE_2,
    TABLE_OF_STAGE_1,
    made_leaf,
)
from smmucore.lpae import HIERARCHICAL, IS_LEAF, IS_TABLE, covered, descend, globality, judge, stage1_rights
from smmucore.memory import word_index
from smmucore.regime import NOWHERE, XN_ARM, half, half_of, sign_extended, table_base
from smmucore.registers import FSR_ASF, FSR_EF, FSR_PF, FSR_TF

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
def descend_stage2(mem, ttbr, ias, level, page_bits, oas, affd, cached, iova):
    """Walk an IPA; return what `smmucore.lpae.descend` does, without a stage in the level.

    A start level that resolves no bit of the input, or more than sixteen tables hold, and an IPA beyond
    the input size are translation faults at level 0, without a read.
    """
    bits = ias - np.int64(entry_shift(page_bits, level))
    if iova >> np.uint64(ias) != U0 or bits < 1 or bits > page_bits - 3 + CONCATENATED:
        return FSR_TF, np.int64(0), U0, U0, U0, np.int64(0)
    start = cached
    if cached == U0:
        start = table_base(ttbr, ias, level, page_bits, oas)
        if start >> np.uint64(oas) != U0:
            return FSR_ASF, np.int64(0), U0, U0, U0, np.int64(0)
    else:
        level = np.int64(LAST_LEVEL)
        bits = page_bits - 3
    mask = (U1 << np.uint64(bits)) - U1
    return descend(mem, start, level, mask, page_bits, oas, affd, NOTHING, iova)


@kernel
def walk_stage2(mem, regime, iova, cached):
    """Walk a stage 2 alone; returns what `smmucore.walk.walk_from` does."""
    page_bits = 12 + regime.granule
    fault, level, desc, pa, last, reads = descend_stage2(
        mem,
        regime.ttbr,
        regime.ias,
        regime.start_level,
        page_bits,
        regime.oas,
        regime.affd,
        cached,
        iova,
    )
    if fault != 0:
        return fault, level | STAGE_2, U0, U0, reads
    size = covered(desc, pa, iova, level, page_bits, regime.runs)
    leaf = made_leaf(pa, size, level, stage2_rights(desc, regime.execute))
    leaf |= np.uint64(level) << LEAF_S2_LEVEL_SHIFT
    # A start table of the last level may be sixteen: nothing is gained by remembering it.
    again = level == LAST_LEVEL and regime.start_level != LAST_LEVEL
    return np.int64(0), level, leaf, last if again else U0, reads


@kernel
def under_stage2(mem, regime, ipa):
    """Translate an IPA of a nested regime; return (fault, level, descriptor, its page, reads)."""
    fault, level, desc, page, _, reads = descend_stage2(
        mem,
        regime.s2_ttbr,
        regime.s2_ias,
        regime.s2_start_level,
        12 + regime.s2_granule,
        regime.s2_oas,
        regime.s2_affd,
        U0,
        ipa,
    )
    return fault, level, desc, page, reads


@kernel
def walk_nested(mem, regime, iova, need):
    """Walk stage 1 with every table address, and then the output, translated by stage 2.

    Stage 1 is complete, its permissions too, before stage 2 sees its output.  A fault's level says the
    stage, and whether stage 2 was asked for a table (`STAGE_2`, `TABLE_OF_STAGE_1`).  A table is read as
    data whatever the access is.  Nothing enters the walk cache.

    Returns what `smmucore.walk.walk_from` does.
    """
    reads = np.int64(0)
    va = sign_extended(regime, iova)
    which = half_of(regime, va)
    if which == NOWHERE:
        return FSR_TF, np.int64(0), U0, U0, reads
    ttbr, ias, level, page_bits = half(regime, which)
    table = table_base(ttbr, ias, level, page_bits, regime.oas)
    if table >> np.uint64(regime.oas) != U0:
        return FSR_ASF, np.int64(0), U0, U0, reads
    s2_page_bits = 12 + regime.s2_granule
    inherited = U0
    bits = np.uint64(ias) - entry_shift(page_bits, level)
    while True:
        index = (va >> entry_shift(page_bits, level)) & ((U1 << bits) - U1)
        ipa = table + (index << U3)
        fault, s2_level, s2_desc, page, more = under_stage2(mem, regime, ipa)
        reads += more
        if fault == 0 and s2_desc & S2AP_READ == U0:
            fault = FSR_PF
        if fault != 0:
            return fault, s2_level | STAGE_2 | TABLE_OF_STAGE_1, U0, U0, reads
        inside = (U1 << entry_shift(s2_page_bits, s2_level)) - U1
        entry = word_index(mem, page | (ipa & inside))
        if entry < 0:
            return FSR_EF, level, U0, U0, reads
        desc = mem.words[entry]
        reads += 1
        verdict, pa = judge(desc, level, page_bits, regime.oas, regime.affd)
        if verdict == IS_LEAF:
            break
        if verdict != IS_TABLE:
            return verdict, level, U0, U0, reads
        inherited |= desc & HIERARCHICAL
        table = pa
        level += 1
        bits = np.uint64(page_bits - 3)
    rights = stage1_rights(desc, inherited, regime.execute)
    if need & STAGE1_RIGHTS & ~rights != U0:
        return FSR_PF, level, U0, U0, reads
    size = covered(desc, pa, va, level, page_bits, regime.runs)
    ipa = pa | (va & ((U1 << entry_shift(page_bits, level)) - U1))
    fault, s2_level, s2_desc, page, more = under_stage2(mem, regime, ipa)
    reads += more
    if fault != 0:
        return fault, s2_level | STAGE_2, U0, U0, reads
    rights &= stage2_rights(s2_desc, regime.s2_execute)
    if need & STAGE2_RIGHTS & ~rights != U0:
        return FSR_PF, s2_level | STAGE_2, U0, U0, reads
    out = page | (ipa & ((U1 << entry_shift(s2_page_bits, s2_level)) - U1))
    size = min(size, covered(s2_desc, page, ipa, s2_level, s2_page_bits, regime.runs))
    leaf = made_leaf(out, size, level, rights | globality(desc))
    leaf |= np.uint64(s2_level) << LEAF_S2_LEVEL_SHIFT
    return np.int64(0), level, leaf, U0, reads
