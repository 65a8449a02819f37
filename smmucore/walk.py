"""The table walk: descriptors in, a translation or a fault out (H3, H4).

The walk reads simulated memory exactly as often as hardware would; every read is counted.
"""

from __future__ import annotations

import numpy as np

from smmucore.descriptors import INDEX_MASK, LAST_LEVEL, OA_MASK, U0, U1, entry_shift
from smmucore.kernel import inlined, kernel
from smmucore.leaf import (
    LEAF_LEVEL_MASK,
    LEAF_LEVEL_SHIFT,
    LEAF_PA,
    LEAF_S2_LEVEL_SHIFT,
    LEAF_SIZE_MASK,
    LEAF_SIZE_SHIFT,
    MAY_EXEC,
    MAY_UNPRIV,
    MAY_WRITE,
    STAGE1_RIGHTS,
    STAGE_2,
    made_leaf,
)
from smmucore.lpae import HIERARCHICAL, descend, globality, stage1_rights, walk_stage1
from smmucore.regime import AARCH32_LPAE, AARCH32_SHORT, AARCH64_S1, AARCH64_S2, LINUX_4K, XN_AS_ONE
from smmucore.registers import FSR_TF
from smmucore.short import walk_short
from smmucore.stage2 import walk_nested, walk_stage2

__all__ = ["MAY_EXEC", "MAY_UNPRIV", "MAY_WRITE", "leaf_level_of", "output_address"]


@kernel
def walk_from(mem, start, level, ias, iova):
    """Walk `iova` through Linux's 4K tables from the table that `start` points to, which is of `level`.

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
        The translation (`smmucore.leaf`); 0 on a fault.
    last_table : uint64
        What to walk from next time (as `start`) to read the level-3 table at once, or 0.
    reads : int64
        Descriptors read.
    """
    if iova >> np.uint64(ias) != U0:
        return FSR_TF, np.int64(0), U0, U0, np.int64(0)
    start &= OA_MASK | HIERARCHICAL
    fault, level, desc, pa, last, reads = descend(
        mem, start, level, INDEX_MASK, 12, 48, 0, HIERARCHICAL, iova
    )
    if fault != 0:
        return fault, level, U0, U0, reads
    rights = stage1_rights(desc, last & HIERARCHICAL, XN_AS_ONE)
    leaf = made_leaf(pa, entry_shift(12, level), level, rights | globality(desc))
    return fault, level, leaf, last if level == LAST_LEVEL else U0, reads


@inlined
def walk(mem, regime, iova, need, cached):
    """Walk `iova` in any regime.

    `cached` is what `last_table` was for its last-level table, or 0.  Only a nested walk looks at what
    the access needs; elsewhere permissions are for the caller to check.  Returns what `walk_from` does;
    a fault's level says its stage too (`smmucore.leaf.STAGE_2`).
    """
    if regime.format == LINUX_4K:
        start = cached if cached != U0 else regime.ttbr
        level = np.int64(LAST_LEVEL) if cached != U0 else regime.start_level
        return walk_from(mem, start, level, regime.ias, iova)
    if regime.format == AARCH64_S1 or regime.format == AARCH32_LPAE:
        return walk_stage1(mem, regime, iova, cached)
    if regime.format == AARCH64_S2:
        return walk_stage2(mem, regime, iova, cached)
    if regime.format == AARCH32_SHORT:
        return walk_short(mem, regime, iova, cached)
    return walk_nested(mem, regime, iova, need)


@inlined
def leaf_level_of(leaf):
    """Return the level a translation was found at."""
    return np.int64((leaf >> LEAF_LEVEL_SHIFT) & LEAF_LEVEL_MASK)


@inlined
def fault_level_of(leaf, need):
    """Return the level of a permission fault on `leaf`, with its stage: stage 1 is asked first."""
    if need & STAGE1_RIGHTS & ~leaf != U0:
        return leaf_level_of(leaf)
    return np.int64((leaf >> LEAF_S2_LEVEL_SHIFT) & LEAF_LEVEL_MASK) | STAGE_2


@inlined
def output_address(leaf, iova):
    """Return the PA that `leaf` gives for `iova`."""
    inside = (U1 << ((leaf >> LEAF_SIZE_SHIFT) & LEAF_SIZE_MASK)) - U1
    return (leaf & LEAF_PA) | (iova & inside)
