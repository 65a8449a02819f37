"""The vocabulary of a trace: what an event is, field by field.

This module is all that the model knows of traces.  It imports nothing but numpy, so that
`smmucore` can read an event without knowing of files, and a reader can write one without
knowing of the model.
"""

from __future__ import annotations

import numpy as np

# --- op: what happened -----------------------------------------------------------------
READ = 0  #: a device read of `size` bytes at `iova`
WRITE = 1  #: a device write
EXEC = 2  #: a device instruction fetch (checked against XN)
MAP = 3  #: `size` bytes at `iova` now translate to `pa`, with the rights in `prot`
UNMAP = 4  #: `size` bytes at `iova` are gone from the tables (TLBs may still hold them)
TLBI = 5  #: invalidate; `prot` holds the kind (``TLBI_*``), `iova` and `size` its range
MARK = 6  #: a label: `iova` is its index in the manifest's ``marks``

OP_NAMES = ("READ", "WRITE", "EXEC", "MAP", "UNMAP", "TLBI", "MARK")

# --- prot of MAP: the rights of the mapping ----------------------------------------------
PROT_READ = 1 << 0
PROT_WRITE = 1 << 1
PROT_EXEC = 1 << 2
PROT_PRIV = 1 << 3  #: MAP: privileged accesses only.  Access: the access is privileged.
PROT_CACHE = 1 << 4  #: coherent, cached
PROT_DEVICE = 1 << 5  #: device memory (a doorbell, a register)

# --- prot of UNMAP and TLBI ---------------------------------------------------------------
#: The driver did not wait for the device first.  Without this bit an UNMAP or TLBI waits, as a
#: driver's fence does, until every earlier access of its space has ended.
ABRUPT = 1 << 15

TLBI_VA = 0  #: every entry of the range, walk cache included
TLBI_VA_LAST = 1  #: leaf entries of the range only (TLBIVAL)
TLBI_ASID = 2  #: every entry of the space
TLBI_ALL = 3  #: every entry
TLBI_VAA = 4  #: as TLBI_VA, for every ASID of the space's VMID
TLBI_VAA_LAST = 5  #: as TLBI_VA_LAST, for every ASID of the space's VMID
TLBI_VMID = 6  #: every entry of the space's VMID, stage 2 too
TLBI_IPAS2 = 7  #: stage-2 entries of the range of IPAs, walk cache included
TLBI_IPAS2_LAST = 8  #: its last-level entries only
TLBI_SYNC = 9  #: nothing goes; waits until every earlier access of the space has ended (TLBSYNC)
TLBI_RANGES = (TLBI_VA, TLBI_VA_LAST, TLBI_VAA, TLBI_VAA_LAST, TLBI_IPAS2, TLBI_IPAS2_LAST)
TLBI_KIND_MASK = 0xFF

#: `pa` of an access whose output address the capture does not hold (or that faulted there).
PA_UNKNOWN = np.uint64(0xFFFF_FFFF_FFFF_FFFF)

#: One event, in memory.  Column order, names and widths are the file's.
EVENT = np.dtype(
    [
        ("t_ns", "u8"),  # nanoseconds from the trace's start, never decreasing
        ("op", "u1"),
        ("stream", "u2"),  # stream ID as the SMMU sees it
        ("space", "u2"),  # translation regime: index in the manifest's ``spaces``
        ("iova", "u8"),
        ("size", "u8"),
        ("pa", "u8"),
        ("prot", "u2"),
    ]
)
