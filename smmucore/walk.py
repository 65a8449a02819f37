"""The table walk: descriptors in, a translation or a fault out (H3, H4).

The walk reads simulated memory exactly as often as hardware would; every read is counted.
"""

from __future__ import annotations

import numpy as np

from smmucore.descriptors import INDEX_MASK, OA_MASK, U0, entry_shift
from smmucore.kernel import inlined
from smmucore.leaf import (
    LEAF_LEVEL_MASK,
    LEAF_LEVEL_SHIFT,
    LEAF_S2_LEVEL_SHIFT,
    MAY_EXEC,
    MAY_UNPRIV,
    MAY_WRITE,
    STAGE1_RIGHTS,
    STAGE_2,
    made_leaf,
    output_address,
)
from smmucore.lpae import HIERARCHICAL, descend, globality, stage1_rights, walk_stage1
from smmucore.regime import AARCH32_LPAE, AARCH32_SHORT, AARCH64_S1, AARCH64_S2, LINUX_4K, XN_AS_ONE
from smmucore.registers import FSR_TF
from smmucore.short import walk_short
from smmucore.stage2 import walk_nested, walk_stage2
from smmucore.tablecache import STAGE_1, begin

__all__ = ["MAY_EXEC", "MAY_UNPRIV", "MAY_WRITE", "leaf_level_of", "output_address"]


@inlined
def walk_linux_4k(mmu, mem, regime, owner, iova):
    """Walk Linux's 4K tables; returns what `walk` does."""
    if iova >> np.uint64(regime.ias) != U0:
        return FSR_TF, np.int64(0), U0, np.int64(0)
    start, level = begin(mmu, STAGE_1, owner.own, 12, regime.start_level, iova)
    if level == regime.start_level:
        start = regime.ttbr & OA_MASK
    fault, level, desc, pa, inherited, reads = descend(
        mem, mmu.trail[STAGE_1], start, level, INDEX_MASK, 12, 48, 0, HIERARCHICAL, iova
    )
    if fault != 0:
        return fault, level, U0, reads
    mmu.walked.last = level
    rights = stage1_rights(desc, inherited, XN_AS_ONE) | globality(desc)
    leaf = made_leaf(pa, entry_shift(12, level), level, rights)
    return fault, level, leaf, reads


@inlined
def walk(mmu, mem, regime, owner, iova, need):
    """Walk `iova` in any regime, from a walk cache where one can help.

    Only a nested walk looks at what the access needs; elsewhere permissions are for the caller to check.

    Parameters
    ----------
    mmu : Mmu
        Its walk caches are looked at, and those of stage 2 under a stage 1 filled (docs/translation.md 3).
        What is to be entered otherwise is left in ``mmu.walked`` and ``mmu.trail``.
    mem : Memory
    regime : REGIME
    owner : OWNER
    iova : uint64
    need : uint64

    Returns
    -------
    fault : int64
        0, or the FSR bit of the fault.
    level : int64
        Level of the last descriptor read; a fault's says its stage too (`smmucore.leaf.STAGE_2`).
    leaf : uint64
        The translation (`smmucore.leaf`); 0 on a fault.
    reads : int64
        Descriptors read.
    """
    if regime.format == LINUX_4K:
        return walk_linux_4k(mmu, mem, regime, owner, iova)
    if regime.format == AARCH64_S1 or regime.format == AARCH32_LPAE:
        return walk_stage1(mmu, mem, regime, owner, iova)
    if regime.format == AARCH64_S2:
        return walk_stage2(mmu, mem, regime, owner, iova)
    if regime.format == AARCH32_SHORT:
        return walk_short(mmu, mem, regime, owner, iova)
    return walk_nested(mmu, mem, regime, owner, iova, need)


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
