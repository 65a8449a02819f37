"""A translation as the TLBs hold it, in one word (H2).

Bits 51:12 are the output address, aligned to what the entry covers; below are rights, above are sizes.
"""

from __future__ import annotations

import numpy as np

from smmucore.kernel import inlined

# What stage 1 allows: three privileged rights, then three unprivileged ones, each READ, WRITE, EXEC.
MAY_READ = np.uint64(1 << 0)
MAY_WRITE = np.uint64(1 << 1)
MAY_EXEC = np.uint64(1 << 2)
MAY_UNPRIV = np.uint64(1 << 3)  # unprivileged reads
MAY_UNPRIV_WRITE = np.uint64(1 << 4)
MAY_UNPRIV_EXEC = np.uint64(1 << 5)
STAGE1_RIGHTS = np.uint64(0x3F)
# What stage 2 allows, whatever the privilege.
S2_READ = np.uint64(1 << 6)
S2_WRITE = np.uint64(1 << 7)
S2_EXEC = np.uint64(1 << 8)
STAGE2_RIGHTS = np.uint64(7 << 6)
# Stage 1's nG was 0: an entry of every ASID of its VMID.
GLOBAL = np.uint64(1 << 9)

# What an access needs, to be shifted by READ, WRITE or EXEC.
NEED_PRIVILEGED = MAY_READ | S2_READ
NEED_UNPRIVILEGED = MAY_UNPRIV | S2_READ

LEAF_PA = np.uint64(0x000F_FFFF_FFFF_F000)
LEAF_SIZE_SHIFT = np.uint64(52)  # six bits: log2 of what the entry covers
LEAF_SIZE_MASK = np.uint64(63)
LEAF_LEVEL_SHIFT = np.uint64(58)  # two bits: the level the leaf was found at
LEAF_S2_LEVEL_SHIFT = np.uint64(60)  # two bits: that of stage 2
LEAF_LEVEL_MASK = np.uint64(3)

# Above a fault's level (FSYNR0.PLVL, two bits): whose fault it is.
STAGE_2 = 4
TABLE_OF_STAGE_1 = 8  # stage 2 faulted on the address of a stage-1 table

U1 = np.uint64(1)


@inlined
def size_of(leaf):
    """Return log2 of what a translation covers."""
    return np.int64((leaf >> LEAF_SIZE_SHIFT) & LEAF_SIZE_MASK)


@inlined
def made_leaf(pa, size, level, rights):
    """Return a translation of stage 1 or of stage 2 alone: `size` is log2 of what it covers."""
    return (
        (pa & ~((U1 << size) - U1))
        | (size << LEAF_SIZE_SHIFT)
        | (np.uint64(level) << LEAF_LEVEL_SHIFT)
        | rights
    )
