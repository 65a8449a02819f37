"""The table walk: descriptors in, a translation or a fault out (H3, H4).

The walk reads simulated memory exactly as often as hardware would; every read is counted.
"""

from __future__ import annotations

import numpy as np

from smmucore.kernel import kernel
from smmucore.pagetable import (
    AF,
    AP_RDONLY,
    AP_UNPRIV,
    APTABLE_NO_UNPRIV,
    APTABLE_RDONLY,
    INDEX_MASK,
    LAST_LEVEL,
    OA_MASK,
    TYPE_BLOCK,
    TYPE_MASK,
    TYPE_TABLE,
    U0,
    U1,
    U3,
    UXN,
    VALID,
    XNTABLE,
    level_shift,
    word_index,
)
from smmucore.registers import FSR_AFF, FSR_EF, FSR_TF

# A translation as the TLBs hold it: the page's PA, and below bit 12 what it allows.
MAY_WRITE = np.uint64(1 << 0)
MAY_EXEC = np.uint64(1 << 1)
MAY_UNPRIV = np.uint64(1 << 2)
LEAF_VALID = np.uint64(1 << 3)
LEAF_LEVEL_SHIFT = np.uint64(4)  # two bits: the level the leaf was found at
LEAF_LEVEL_MASK = np.uint64(3)

HIERARCHICAL = XNTABLE | APTABLE_NO_UNPRIV | APTABLE_RDONLY


@kernel
def walk_from(mem, start, level, ias, iova):
    """Walk `iova` from the table that `start` points to, which is of `level`.

    Parameters
    ----------
    mem : Memory
    start : uint64
        PA of the first table to read, and in their place the hierarchical attributes (XNTable,
        APTable) of the tables above it: a table descriptor or a TTBR will do.
    level : int64
        Its level.
    ias : int64
        Input address bits of the regime.
    iova : uint64

    Returns
    -------
    fault : int64
        0, or the FSR bit of the fault: TF, AFF, EF.
    level : int64
        Level of the last descriptor read.
    leaf : uint64
        PA of the page with ``MAY_*`` and the level below bit 12; 0 on a fault.
    last_table : uint64
        What to walk from next time (as `start`) to read the level-3 table at once, or 0.
    reads : int64
        Descriptors read.
    """
    reads = 0
    if iova >> np.uint64(ias) != U0:
        return FSR_TF, np.int64(0), U0, U0, reads
    table = start & OA_MASK
    hierarchical = start & HIERARCHICAL
    while True:
        entry = word_index(mem, table + (((iova >> level_shift(level)) & INDEX_MASK) << U3))
        if entry < 0:
            return FSR_EF, level, U0, U0, reads
        desc = mem.words[entry]
        reads += 1
        kind = desc & TYPE_MASK
        if desc & VALID == U0:
            return FSR_TF, level, U0, U0, reads
        if level == LAST_LEVEL:
            if kind != TYPE_TABLE:  # 0b01 is reserved at level 3
                return FSR_TF, level, U0, U0, reads
            break
        if kind == TYPE_BLOCK:
            if level == 0:  # no 512G block with a 4K granule
                return FSR_TF, level, U0, U0, reads
            break
        hierarchical |= desc & HIERARCHICAL
        table = desc & OA_MASK
        level += 1
    if desc & AF == U0:
        return FSR_AFF, level, U0, U0, reads
    leaf = (desc & OA_MASK) & ~((U1 << level_shift(level)) - U1)
    leaf |= LEAF_VALID | (np.uint64(level) << LEAF_LEVEL_SHIFT)
    if desc & AP_RDONLY == U0 and hierarchical & APTABLE_RDONLY == U0:
        leaf |= MAY_WRITE
    if desc & UXN == U0 and hierarchical & XNTABLE == U0:
        leaf |= MAY_EXEC
    if desc & AP_UNPRIV != U0 and hierarchical & APTABLE_NO_UNPRIV == U0:
        leaf |= MAY_UNPRIV
    return 0, level, leaf, table | hierarchical if level == LAST_LEVEL else U0, reads


@kernel
def leaf_level_of(leaf):
    """Return the level a translation was found at."""
    return np.int64((leaf >> LEAF_LEVEL_SHIFT) & LEAF_LEVEL_MASK)


@kernel
def output_address(leaf, iova):
    """Return the PA that `leaf` gives for `iova`."""
    inside = (U1 << level_shift(leaf_level_of(leaf))) - U1
    return (leaf & OA_MASK) | (iova & inside)
