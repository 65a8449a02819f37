"""Walks of the 64-bit descriptors: AArch64 stage 1 with any granule, AArch32 stage 1 (H3).

Every rule has one kernel, inlined where it is used: the quick walk of Linux's 4K tables gives it
constants, the general one a regime.
"""

from __future__ import annotations

import numpy as np

from smmucore.descriptors import (
    AF,
    AP_RDONLY,
    AP_UNPRIV,
    APTABLE_NO_UNPRIV,
    APTABLE_RDONLY,
    CONTIGUOUS,
    LAST_LEVEL,
    NG,
    PXN,
    PXNTABLE,
    TABLE_OR_PAGE,
    U0,
    U1,
    U3,
    UXN,
    VALID,
    XNTABLE,
    address_in,
    entry_shift,
    top_block_level,
)
from smmucore.kernel import inlined, kernel
from smmucore.leaf import (
    GLOBAL,
    MAY_EXEC,
    MAY_READ,
    MAY_UNPRIV,
    MAY_UNPRIV_EXEC,
    MAY_UNPRIV_WRITE,
    MAY_WRITE,
    STAGE2_RIGHTS,
    made_leaf,
)
from smmucore.memory import word_index
from smmucore.regime import (
    AARCH32_LPAE,
    NOWHERE,
    XN_AARCH32,
    XN_ARM,
    XN_AS_ONE,
    half,
    input_of,
    place,
    table_base,
)
from smmucore.registers import FSR_AFF, FSR_ASF, FSR_EF, FSR_TF
from smmucore.tablecache import STAGE_1, begin

HIERARCHICAL = XNTABLE | PXNTABLE | APTABLE_NO_UNPRIV | APTABLE_RDONLY

# What a descriptor is, where it is no fault.
IS_LEAF = 0
IS_TABLE = -1


@inlined
def judge(desc, level, page_bits, oas, affd):
    """Return (IS_TABLE, IS_LEAF or the FSR bit of its fault, the address it holds).

    The order is Arm's: valid, type, address size (ASF, at the level of the descriptor), access flag.
    """
    if desc & VALID == U0:
        return FSR_TF, U0
    if level < LAST_LEVEL and desc & TABLE_OR_PAGE != U0:
        pa = address_in(desc, np.uint64(page_bits), page_bits, oas)
        return (IS_TABLE if pa >> np.uint64(oas) == U0 else FSR_ASF), pa
    if desc & TABLE_OR_PAGE == U0:
        if level == LAST_LEVEL or level < top_block_level(page_bits, oas):
            return FSR_TF, U0  # 0b01 is reserved at level 3
    pa = address_in(desc, entry_shift(page_bits, level), page_bits, oas)
    if pa >> np.uint64(oas) != U0:
        return FSR_ASF, U0
    if desc & AF == U0 and affd == 0:
        return FSR_AFF, U0
    return IS_LEAF, pa


@inlined
def run_bits(page_bits, level):
    """Return log2 of the entries that the contiguous hint joins."""
    if page_bits == 12:
        return 4 if level >= 1 else 0
    if level < 2:
        return 0
    return 7 if page_bits == 14 and level == LAST_LEVEL else 5


@inlined
def covered(desc, pa, iova, level, page_bits, runs):
    """Return log2 of what a TLB entry of this leaf covers: its page, or the run it says it is part of.

    A run that is not aligned alike in input and output is a mistake in the tables: then the page alone.
    """
    bits = entry_shift(page_bits, level)
    if runs != 0 and desc & CONTIGUOUS != U0:
        whole = bits + np.uint64(run_bits(page_bits, level))
        if (((pa ^ iova) & ((U1 << whole) - U1)) >> bits) == U0:
            return whole
    return bits


@inlined
def stage1_rights(desc, inherited, execute):
    """Return the rights of a stage-1 leaf below tables with the `inherited` bits.

    APTable[0] takes unprivileged access away, APTable[1] writing, XNTable and PXNTable execution.
    """
    unprivileged = desc & AP_UNPRIV != U0 and inherited & APTABLE_NO_UNPRIV == U0
    writable = desc & AP_RDONLY == U0 and inherited & APTABLE_RDONLY == U0
    x_unprivileged = desc & UXN == U0 and inherited & XNTABLE == U0
    x_privileged = desc & PXN == U0 and inherited & PXNTABLE == U0
    if execute == XN_AS_ONE:
        x_privileged = x_unprivileged
    elif execute == XN_AARCH32:
        x_privileged = x_privileged and x_unprivileged
    elif execute == XN_ARM and unprivileged and writable:
        x_privileged = False
    rights = MAY_READ | STAGE2_RIGHTS
    if writable:
        rights |= MAY_WRITE
    if x_privileged:
        rights |= MAY_EXEC
    if unprivileged:
        rights |= MAY_UNPRIV
        if writable:
            rights |= MAY_UNPRIV_WRITE
    if x_unprivileged and (unprivileged or execute == XN_ARM):
        rights |= MAY_UNPRIV_EXEC
    return rights


@inlined
def globality(desc):
    """Return GLOBAL where a stage-1 leaf has nG = 0, or nothing."""
    return GLOBAL if desc & NG == U0 else U0


@inlined
def descend(mem, trail, start, level, first_mask, page_bits, oas, affd, inherit, iova):
    """Read descriptors from the table at `start`, of `level`, until one is a leaf or a fault.

    Leaves each table that it reads, with what it inherits, in `trail` at its level.

    Parameters
    ----------
    start : uint64
        The first table; above its address what it inherits.
    first_mask : uint64
        Of the index into the first table.
    inherit : uint64
        The bits of table descriptors that those below inherit: HIERARCHICAL, or none.

    Returns
    -------
    fault : int64
        0, or an FSR bit.
    level : int64
        Of the last descriptor read.
    desc, pa : uint64
        The leaf, and the address in it.
    inherited : uint64
        What it inherits.
    reads : int64
        Descriptors read.
    """
    reads = np.int64(0)
    table = start & ~HIERARCHICAL
    inherited = start & HIERARCHICAL
    mask = first_mask
    while True:
        index = (iova >> entry_shift(page_bits, level)) & mask
        entry = word_index(mem, table + (index << U3))
        if entry < 0:
            return FSR_EF, level, U0, U0, U0, reads
        desc = mem.words[entry]
        reads += 1
        trail[level] = table | inherited
        verdict, pa = judge(desc, level, page_bits, oas, affd)
        if verdict == IS_LEAF:
            return np.int64(0), level, desc, pa, inherited, reads
        if verdict != IS_TABLE:
            return verdict, level, U0, U0, U0, reads
        inherited |= desc & inherit
        table = pa
        level += 1
        mask = (U1 << np.uint64(page_bits - 3)) - U1


@kernel
def walk_stage1(mmu, mem, regime, owner, iova):
    """Walk an AArch64 stage 1, or an AArch32 one with long descriptors: halves, granules, sizes (H3).

    An address that no half has is a fault at level 0, in AArch32 at level 1; nothing is read.

    Returns
    -------
    As `smmucore.walk.walk`.
    """
    which = place(regime, iova)
    if which == NOWHERE:
        return FSR_TF, np.int64(1 if regime.format == AARCH32_LPAE else 0), U0, np.int64(0)
    ttbr, ias, start_level, page_bits = half(regime, which)
    oas = regime.oas
    va = input_of(regime, iova)
    start, level = begin(mmu, STAGE_1, owner.own, page_bits, start_level, va)
    if level == start_level:
        start = table_base(ttbr, ias, level, page_bits, oas)
        if start >> np.uint64(oas) != U0:
            return FSR_ASF, np.int64(0), U0, np.int64(0)  # of TTBR itself
    top = min(np.uint64(ias), entry_shift(page_bits, level - 1))
    mask = (U1 << (top - entry_shift(page_bits, level))) - U1
    fault, level, desc, pa, inherited, reads = descend(
        mem, mmu.trail[STAGE_1], start, level, mask, page_bits, oas, regime.affd, HIERARCHICAL, va
    )
    if fault != 0:
        return fault, level, U0, reads
    mmu.walked.last = level
    rights = stage1_rights(desc, inherited, regime.execute)
    size = covered(desc, pa, va, level, page_bits, regime.runs)
    leaf = made_leaf(pa, size, level, rights | globality(desc))
    return fault, level, leaf, reads
