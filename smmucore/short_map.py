"""Tables of short descriptors, built as Linux's io-pgtable does for the v7 short format (H3).

Pages are 4K and 64K, sections 1M and 16M; the larger of each two is sixteen equal descriptors in a row.
First-level tables are the caller's; second-level ones are made below 4G.
"""

from __future__ import annotations

import numpy as np

from smmucore.kernel import kernel
from smmucore.memory import MAP_EXISTS, MAP_NO_MEMORY, MAP_OK, UNMAP_PARTIAL, new_tables, word_index
from smmucore.regime import LOW_32, U32
from smmucore.short import (
    AP_HIGH,
    AP_LOW,
    FIRST_LEVEL,
    IN_5,
    IN_20,
    INVALID,
    KIND,
    LARGE,
    LARGE_BITS,
    NG_AT,
    NIBBLE,
    PA_32,
    PA_36,
    SECOND_LEVEL,
    SECTION,
    SECTION_BITS,
    SECTION_SHIFT,
    SMALL,
    SMALL_BITS,
    SUPER_BITS,
    SUPERSECTION,
    TABLE,
    U0,
    U1,
    U2,
    U3,
    U4,
    XN_LARGE,
    XN_SECTION,
    XN_SMALL,
    first_entry,
    mapped_bits,
    read32,
    second_entry,
)
from traces.events import PROT_CACHE, PROT_DEVICE, PROT_EXEC, PROT_PRIV, PROT_WRITE

SECOND_WORDS = 128
REPEATED = 16

# Attributes where a small page has them.
B = np.uint64(1 << 2)
C = np.uint64(1 << 3)
AP_FLAG = U1 << AP_LOW  # AP[0]: the access flag, or what makes AP[2:1] mean the same without one
AP_USER = U2 << AP_LOW  # AP[1]
AP_READ_ONLY = U1 << AP_HIGH
S = np.uint64(1 << 10)
NG = U1 << NG_AT
CACHE_BITS = B | C
TEX_0 = np.uint64(1 << 6)
TEX_MASK = np.uint64(7 << 6)
ABOVE_TEX = AP_READ_ONLY | S | NG
BELOW_TEX = np.uint64(3 << 4) | CACHE_BITS
# In a section TEX and all above XN stand six places higher, in a large page TEX alone.
SHIFTED = ABOVE_TEX | TEX_MASK | np.uint64(3 << 4)


@kernel
def short_attributes(prot):
    """Return the attribute bits of a leaf for the rights of a MAP, XN too, as a small page has them.

    nG, S and AP[0] always; AP[2] when WRITE is absent, AP[1] when PRIV is, XN when EXEC is. TEX[0] for all
    memory but a device's, which has B alone; C and B for what is cached.
    """
    bits = NG | S | AP_FLAG
    if prot & PROT_WRITE == 0:
        bits |= AP_READ_ONLY
    if prot & PROT_PRIV == 0:
        bits |= AP_USER
    if prot & PROT_EXEC == 0:
        bits |= XN_SMALL
    if prot & PROT_DEVICE:
        bits |= B
    else:
        bits |= TEX_0 | CACHE_BITS if prot & PROT_CACHE else TEX_0
    return bits


@kernel
def made_descriptor(pa, size, attributes):
    """Return the leaf that maps 2^size bytes to `pa`; `attributes` as a small page has them."""
    never = attributes & XN_SMALL != U0
    if size == SMALL_BITS:
        return (pa & LOW_32) | attributes | SMALL
    if size == LARGE_BITS:
        desc = (pa & LOW_32) | (attributes & (ABOVE_TEX | BELOW_TEX)) | LARGE
        desc |= (attributes & TEX_MASK) << SECTION_SHIFT
        return desc | XN_LARGE if never else desc
    desc = (pa & LOW_32) | (attributes & CACHE_BITS) | ((attributes & SHIFTED) << SECTION_SHIFT) | SECTION
    if never:
        desc |= XN_SECTION
    if size == SUPER_BITS:
        desc |= SUPERSECTION | (((pa >> PA_32) & NIBBLE) << IN_20) | (((pa >> PA_36) & NIBBLE) << IN_5)
    return desc


@kernel
def entries_of(size):
    """Return how many descriptors in a row make one leaf of 2^size bytes."""
    return REPEATED if size == LARGE_BITS or size == SUPER_BITS else 1


@kernel
def write32(mem, pa, desc):
    """Write the descriptor at `pa`, which is in memory."""
    at = word_index(mem, pa)
    shift = (pa & U4) << U3
    mem.words[at] = (mem.words[at] & ~(LOW_32 << shift)) | (desc << shift)


@kernel
def write_leaf(mem, at, count, desc, tables):
    """Write `count` equal descriptors from `at` on; return MAP_*.

    A leaf is never overwritten, and where one is in the way nothing is written. With `tables` (level 1) a
    table in their place is dropped.
    """
    for n in range(count):
        there, old = read32(mem, at + (np.uint64(n) << U2))
        if not there:
            return MAP_NO_MEMORY
        if old & KIND != INVALID and not (tables and old & KIND == TABLE):
            return MAP_EXISTS
    for n in range(count):
        write32(mem, at + (np.uint64(n) << U2), desc)
    return MAP_OK


@kernel
def put_leaf(mem, regime, iova, size, desc):
    """Map the 2^size bytes at `iova` by `desc`, making the table above it; return MAP_*."""
    at = first_entry(regime, iova)
    if size >= SECTION_BITS:
        return write_leaf(mem, at, entries_of(size), desc, True)
    there, first = read32(mem, at)
    if not there:
        return MAP_NO_MEMORY
    if first & SECTION != U0:
        return MAP_EXISTS
    if first & KIND == INVALID:
        below = new_tables(mem, SECOND_WORDS)
        if below == U0 or below >> U32 != U0:
            return MAP_NO_MEMORY
        first = below | TABLE
        write32(mem, at, first)
    return write_leaf(mem, second_entry(first, iova), entries_of(size), desc, False)


@kernel
def leaf_size(iova, pa, left):
    """Return log2 of the largest leaf that IOVA, PA and the bytes left allow."""
    for size in (SUPER_BITS, SECTION_BITS, LARGE_BITS):
        bytes_of = U1 << size
        if left >= bytes_of and (iova | pa) & (bytes_of - U1) == U0:
            return size
    return SMALL_BITS


@kernel
def reaches(iova, size, pa):
    """Tell whether leaves can hold the output, of 40 bits: what is beyond 4G is for supersections alone."""
    if (pa + size - U1) >> U32 == U0:
        return True
    ahead = U0 if pa >> U32 != U0 else (LOW_32 + U1) - pa
    inside = (U1 << SUPER_BITS) - U1
    return ((iova + ahead) | (pa + ahead) | (pa + size)) & inside == U0


@kernel
def map_short(mem, regime, iova, size, pa, prot):
    """Map a range that has been found good with the largest leaves that fit; return MAP_*."""
    attributes = short_attributes(prot)
    done = U0
    while done < size:
        bits = leaf_size(iova + done, pa + done, size - done)
        desc = made_descriptor(pa + done, bits, attributes)
        status = put_leaf(mem, regime, iova + done, bits, desc)
        if status != MAP_OK:
            return status
        done += U1 << bits
    return MAP_OK


@kernel
def find_short(mem, regime, iova):
    """Find the leaf of an `iova` that a half has.

    Returns
    -------
    at : uint64
        PA of the descriptor that `iova` selects: of one of sixteen, in a large page or supersection.
    desc : uint64
        The descriptor; 0 where nothing is mapped.
    size : uint64
        log2 of what the leaf covers, or of what the hole does at least.
    level : int64
        1 or 2.
    """
    at = first_entry(regime, iova)
    there, first = read32(mem, at)
    if not there or first & KIND == INVALID:
        return at, U0, SECTION_BITS, FIRST_LEVEL
    if first & SECTION != U0:
        return at, first, mapped_bits(first, FIRST_LEVEL), FIRST_LEVEL
    at = second_entry(first, iova)
    there, second = read32(mem, at)
    if not there or second & KIND == INVALID:
        return at, U0, SMALL_BITS, SECOND_LEVEL
    return at, second, mapped_bits(second, SECOND_LEVEL), SECOND_LEVEL


@kernel
def clear_leaf(mem, at, size):
    """Clear the leaf of 2^size bytes whose first descriptor is at `at`."""
    for n in range(entries_of(size)):
        write32(mem, at + (np.uint64(n) << U2), U0)


@kernel
def unmap_short(mem, regime, iova, size):
    """Clear every leaf in a range that has been found good; return MAP_OK, or UNMAP_PARTIAL and clear none.

    Second-level tables stay, empty ones too.
    """
    for clear in range(2):
        done = U0
        while done < size:
            here = iova + done
            left = size - done
            at, desc, bits, _ = find_short(mem, regime, here)
            covers = U1 << bits
            inside = covers - (here & (covers - U1))
            if desc != U0:
                if inside != covers or covers > left:
                    return UNMAP_PARTIAL
                if clear == 1:
                    clear_leaf(mem, at, bits)
            done += min(inside, left)
    return MAP_OK


@kernel
def copy_short(mem, source, target, iova):
    """Map the leaf of `iova` in `target` as it is in `source`, which has it; return MAP_*."""
    _, desc, size, _ = find_short(mem, source, iova)
    return put_leaf(mem, target, iova & ~((U1 << size) - U1), size, desc)
