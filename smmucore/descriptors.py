"""The 64-bit descriptors of the VMSA: their bits, and where an address lies in them (H3)."""

from __future__ import annotations

import numpy as np

from smmucore.kernel import inlined

LAST_LEVEL = 3
WIDE_PAGE_BITS = 16  # only the 64K granule has
WIDE_OAS = 52  # as many output bits, 51:48 in bits 15:12 of a descriptor

# Descriptor bits, VMSAv8-64 stage 1 (Arm ARM D8.3).
VALID = np.uint64(1 << 0)
TABLE_OR_PAGE = np.uint64(1 << 1)  # at levels 0..2: table; at level 3: page
ATTRINDX_SHIFT = np.uint64(2)
AP_UNPRIV = np.uint64(1 << 6)  # AP[1]: unprivileged accesses are allowed
AP_RDONLY = np.uint64(1 << 7)  # AP[2]
SH_OUTER = np.uint64(2 << 8)
SH_INNER = np.uint64(3 << 8)
AF = np.uint64(1 << 10)
NG = np.uint64(1 << 11)
XN = np.uint64(3 << 53)  # PXN and UXN together
CONTIGUOUS = np.uint64(1 << 52)
PXN = np.uint64(1 << 53)
UXN = np.uint64(1 << 54)
PXNTABLE = np.uint64(1 << 59)
XNTABLE = np.uint64(1 << 60)
APTABLE_NO_UNPRIV = np.uint64(1 << 61)
APTABLE_RDONLY = np.uint64(1 << 62)
OA_MASK = np.uint64(0x0000_FFFF_FFFF_F000)

TYPE_MASK = np.uint64(3)
TYPE_BLOCK = np.uint64(1)
TYPE_TABLE = np.uint64(3)  # and page, at level 3

ATTR_NC = np.uint64(0)
ATTR_CACHE = np.uint64(1)
ATTR_DEVICE = np.uint64(2)

U0 = np.uint64(0)
U1 = np.uint64(1)
U3 = np.uint64(3)
U12 = np.uint64(12)
U48 = np.uint64(48)
INDEX_MASK = np.uint64(511)
LOW_48 = np.uint64((1 << 48) - 1)
NIBBLE = np.uint64(0xF)


@inlined
def entry_shift(page_bits, level):
    """Return log2 of what one entry of `level` covers."""
    return np.uint64(page_bits + (LAST_LEVEL - level) * (page_bits - 3))


@inlined
def is_wide(page_bits, oas):
    """Tell whether addresses have 52 bits."""
    return oas == WIDE_OAS and page_bits == WIDE_PAGE_BITS


@inlined
def top_block_level(page_bits, oas):
    """Return the highest level with blocks: 4K 1 (1G), 16K 2 (32M), 64K 2 (512M), or 1 (4T) when wide."""
    return 1 if page_bits == 12 or is_wide(page_bits, oas) else 2


@inlined
def address_in(desc, low, page_bits, oas):
    """Return address bits 47:low of a descriptor; when wide also 51:48, which are in its bits 15:12."""
    pa = ((desc & LOW_48) >> low) << low
    if is_wide(page_bits, oas):
        pa |= ((desc >> U12) & NIBBLE) << U48
    return pa


@inlined
def packed_address(pa, page_bits, oas):
    """Return the bits of a descriptor that hold an address aligned to the granule."""
    if is_wide(page_bits, oas):
        return (pa & LOW_48) | (((pa >> U48) & NIBBLE) << U12)
    return pa
