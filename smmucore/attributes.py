"""The attribute bits that io-pgtable gives a leaf for the rights of a MAP (H3)."""

from __future__ import annotations

import numpy as np

from smmucore.descriptors import (
    AF,
    AP_RDONLY,
    AP_UNPRIV,
    ATTR_CACHE,
    ATTR_DEVICE,
    ATTRINDX_SHIFT,
    NG,
    SH_INNER,
    SH_OUTER,
    XN,
)
from smmucore.kernel import kernel
from traces.events import PROT_CACHE, PROT_DEVICE, PROT_EXEC, PROT_PRIV, PROT_READ, PROT_WRITE

# Stage 2: S2AP[0] and S2AP[1], MemAttr.
S2AP_READ = np.uint64(1 << 6)
S2AP_WRITE = np.uint64(1 << 7)
MEMATTR_WB = np.uint64(0xF << 2)
MEMATTR_NC = np.uint64(0x5 << 2)
MEMATTR_DEVICE = np.uint64(0x1 << 2)


@kernel
def stage1_attributes(prot):
    """Return a stage-1 leaf's attribute bits.

    nG and AF always; read-only when WRITE is absent; XN when EXEC is.
    """
    bits = AF | NG
    if prot & PROT_WRITE == 0:
        bits |= AP_RDONLY
    if prot & PROT_PRIV == 0:
        bits |= AP_UNPRIV
    if prot & PROT_EXEC == 0:
        bits |= XN
    if prot & PROT_DEVICE:
        bits |= ATTR_DEVICE << ATTRINDX_SHIFT
    elif prot & PROT_CACHE:
        bits |= ATTR_CACHE << ATTRINDX_SHIFT
    bits |= SH_INNER if prot & PROT_CACHE else SH_OUTER
    return bits


@kernel
def stage2_attributes(prot):
    """Return a stage-2 leaf's attribute bits: no nG, no privilege, and writing without reading exists."""
    bits = AF
    if prot & PROT_READ:
        bits |= S2AP_READ
    if prot & PROT_WRITE:
        bits |= S2AP_WRITE
    if prot & PROT_EXEC == 0:
        bits |= XN
    if prot & PROT_DEVICE:
        bits |= MEMATTR_DEVICE
    else:
        bits |= MEMATTR_WB if prot & PROT_CACHE else MEMATTR_NC
    bits |= SH_INNER if prot & PROT_CACHE else SH_OUTER
    return bits
