"""AArch32 short descriptors, of 32 bits and two levels: what they say, and their walk (H3).

Rules are those of VMSAv8-32's short-descriptor format, with every domain a client: an SMMU has no DACR.
A word of table memory holds two descriptors, the one of the lower address in its low half.
"""

from __future__ import annotations

import numpy as np

from smmucore.descriptors import LAST_LEVEL
from smmucore.kernel import kernel
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
from smmucore.regime import LOW_32, NOWHERE, half, place
from smmucore.registers import FSR_AFF, FSR_EF, FSR_TF
from smmucore.tablecache import SHORT_PAGE_BITS, STAGE_1, begin

U0 = np.uint64(0)
U1 = np.uint64(1)
U2 = np.uint64(2)
U3 = np.uint64(3)
U4 = np.uint64(4)

FIRST_LEVEL = np.int64(1)
SECOND_LEVEL = np.int64(2)

# Bits 1:0 of a descriptor. The other bit of a leaf that has one of them to spare is PXN or XN.
KIND = np.uint64(3)
INVALID = np.uint64(0)
TABLE = np.uint64(1)  # at level 1
LARGE = np.uint64(1)  # at level 2
SECTION = np.uint64(2)  # at level 1, a supersection too
SMALL = np.uint64(2)  # at level 2

# log2 of what a leaf maps.
SMALL_BITS = np.uint64(12)
LARGE_BITS = np.uint64(16)
SECTION_BITS = np.uint64(20)
SUPER_BITS = np.uint64(24)

# A first-level descriptor of a table.
TABLE_PXN = np.uint64(1 << 2)
SECOND_TABLE = np.uint64(0xFFFF_FC00)  # a second-level table has 256 entries, 1 KiB
SECOND_INDEX = np.uint64(0xFF)
#: What the walk cache keeps of it: never 0, and all that it makes of the pages below.
KEPT = SECOND_TABLE | TABLE_PXN | TABLE

# A leaf. The bits of a small page; in a section those from AP on stand six places higher.
AP_LOW = np.uint64(4)  # AP[1:0]
AP_HIGH = np.uint64(9)  # AP[2]
NG_AT = np.uint64(11)
SECTION_SHIFT = np.uint64(6)
XN_SMALL = np.uint64(1 << 0)
XN_LARGE = np.uint64(1 << 15)
XN_SECTION = np.uint64(1 << 4)
PXN_SECTION = np.uint64(1 << 0)
SUPERSECTION = np.uint64(1 << 18)

# A supersection's address beyond bit 31: PA[35:32] in bits 23:20, PA[39:36] in bits 8:5.
NIBBLE = np.uint64(0xF)
PA_32 = np.uint64(32)
PA_36 = np.uint64(36)
IN_20 = np.uint64(20)
IN_5 = np.uint64(5)

_PRIVILEGED_RW = MAY_READ | MAY_WRITE
_UNPRIVILEGED_RW = MAY_UNPRIV | MAY_UNPRIV_WRITE
#: Rights but execution, by AP[2:0]. Where AP[0] is the access flag (SCTLR.AFE), AP[2:1] mean what they mean
#: here with AP[0] set.
RIGHTS_OF_AP = (
    U0,
    _PRIVILEGED_RW,
    _PRIVILEGED_RW | MAY_UNPRIV,
    _PRIVILEGED_RW | _UNPRIVILEGED_RW,
    U0,  # reserved
    MAY_READ,
    MAY_READ | MAY_UNPRIV,  # as 0b111, which replaces it
    MAY_READ | MAY_UNPRIV,
)


@kernel
def read32(mem, pa):
    """Return (whether it is in memory, the descriptor at `pa`)."""
    at = word_index(mem, pa)
    if at < 0:
        return False, U0
    return True, (mem.words[at] >> ((pa & U4) << U3)) & LOW_32


@kernel
def first_entry(regime, iova):
    """Return the address of the first-level descriptor of an `iova` that a half has.

    The table is as large as the half needs, 4 KiB to 16 KiB, and aligned to its size.
    """
    ttbr, ias, _, _ = half(regime, place(regime, iova))
    mask = (U4 << (np.uint64(ias) - SECTION_BITS)) - U1
    return (ttbr & LOW_32 & ~mask) + ((iova >> SECTION_BITS) << U2)


@kernel
def second_entry(first, iova):
    """Return the address of the second-level descriptor below a `first` one."""
    return (first & SECOND_TABLE) + (((iova >> SMALL_BITS) & SECOND_INDEX) << U2)


@kernel
def mapped_bits(desc, level):
    """Return log2 of what a leaf of `level` maps."""
    if level == FIRST_LEVEL:
        return SUPER_BITS if desc & SUPERSECTION != U0 else SECTION_BITS
    return LARGE_BITS if desc & KIND == LARGE else SMALL_BITS


@kernel
def judged(regime, attributes, xn, pxn):
    """Return (0 or the access flag's FSR bit, rights and GLOBAL) of a leaf.

    Parameters
    ----------
    attributes : uint64
        Its descriptor, AP and nG being where a small page has them.
    xn, pxn : bool
        Nothing is executed; nothing is executed with privilege. What cannot be read is not executed either.
    """
    ap = ((attributes >> AP_LOW) & U3) | (((attributes >> AP_HIGH) & U1) << U2)
    if regime.afe != 0:
        if ap & U1 == U0 and regime.affd == 0:
            return FSR_AFF, U0
        ap |= U1
    rights = RIGHTS_OF_AP[ap]
    if rights & MAY_READ != U0 and not xn and not pxn:
        rights |= MAY_EXEC
    if rights & MAY_UNPRIV != U0 and not xn:
        rights |= MAY_UNPRIV_EXEC
    if (attributes >> NG_AT) & U1 == U0:
        rights |= GLOBAL
    return np.int64(0), rights | STAGE2_RIGHTS


@kernel
def walk_short(mmu, mem, regime, owner, iova):
    """Walk short descriptors (H3).

    An address beyond 32 bits, or of a half whose walks are off (PD0, PD1), is a translation fault at level
    1, without a read.

    Returns
    -------
    As `smmucore.walk.walk`.
    """
    reads = np.int64(0)
    if place(regime, iova) == NOWHERE:
        return FSR_TF, FIRST_LEVEL, U0, reads
    first, level = begin(mmu, STAGE_1, owner.own, SHORT_PAGE_BITS, np.int64(LAST_LEVEL - 1), iova)
    if level != LAST_LEVEL:
        there, first = read32(mem, first_entry(regime, iova))
        if not there:
            return FSR_EF, FIRST_LEVEL, U0, reads
        reads += 1
        if first & KIND == INVALID:
            return FSR_TF, FIRST_LEVEL, U0, reads
        if first & SECTION != U0:
            xn, pxn = first & XN_SECTION != U0, first & PXN_SECTION != U0
            fault, rights = judged(regime, first >> SECTION_SHIFT, xn, pxn)
            if fault != 0:
                return fault, FIRST_LEVEL, U0, reads
            size = mapped_bits(first, FIRST_LEVEL)
            pa = first
            if size == SUPER_BITS:
                pa |= (((first >> IN_20) & NIBBLE) << PA_32) | (((first >> IN_5) & NIBBLE) << PA_36)
            return fault, FIRST_LEVEL, made_leaf(pa, size, FIRST_LEVEL, rights), reads
    there, second = read32(mem, second_entry(first, iova))
    if not there:
        return FSR_EF, SECOND_LEVEL, U0, reads
    reads += 1
    if second & KIND == INVALID:
        return FSR_TF, SECOND_LEVEL, U0, reads
    size = mapped_bits(second, SECOND_LEVEL)
    xn = second & (XN_LARGE if size == LARGE_BITS else XN_SMALL) != U0
    fault, rights = judged(regime, second, xn, first & TABLE_PXN != U0)
    if fault != 0:
        return fault, SECOND_LEVEL, U0, reads
    # Of the last level, which walk caches count as the third.
    mmu.trail[STAGE_1, LAST_LEVEL] = first & KEPT
    mmu.walked.last = LAST_LEVEL
    return fault, SECOND_LEVEL, made_leaf(second, size, SECOND_LEVEL, rights), reads
