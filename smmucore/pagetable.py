"""AArch64 LPAE translation tables in simulated memory, built as Linux's io-pgtable would (H3).

Tables are real descriptors in a flat window of simulated physical memory: the walker reads the
same words that the mapper wrote.  Stage 1, 4K granule, leaves of 4K, 2M and 1G.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from smmucore.kernel import kernel
from traces.events import PROT_CACHE, PROT_DEVICE, PROT_EXEC, PROT_PRIV, PROT_READ, PROT_WRITE

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
UXN = np.uint64(1 << 54)
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
U9 = np.uint64(9)
U12 = np.uint64(12)
U21 = np.uint64(21)
U30 = np.uint64(30)
OAS = np.uint64(48)  # output address bits that a 4K-granule descriptor holds
INDEX_MASK = np.uint64(511)
PAGE_MASK = np.uint64(0xFFF)

PAGE_4K = np.uint64(1 << 12)
PAGE_2M = np.uint64(1 << 21)
PAGE_1G = np.uint64(1 << 30)

#: Where simulated table memory begins; far from any RAM a capture shows.
TABLE_BASE = np.uint64(0x80_0000_0000)
TABLE_WORDS = 512
LAST_LEVEL = 3

# What `map_range` and `unmap_range` answer.
MAP_OK = 0
MAP_EXISTS = 1  # a valid leaf is in the way (Linux: -EEXIST)
MAP_MISALIGNED = 2  # IOVA, PA or size is no multiple of the granule, or size is zero
MAP_OUT_OF_RANGE = 3  # beyond the input or the output address size
UNMAP_PARTIAL = 4  # part of a block: Linux 7.0 refuses
MAP_NO_MEMORY = 5  # table memory is exhausted

MAP_ERRORS = {
    MAP_EXISTS: "an IOVA that is not mapped yet, found a valid leaf (a driver would get -EEXIST)",
    MAP_MISALIGNED: "IOVA, PA and size in whole 4K pages, found a remainder or no size",
    MAP_OUT_OF_RANGE: "an IOVA inside the input address size and a PA below 2^48, found one beyond",
    MAP_NO_MEMORY: "room for the tables, found none",
    UNMAP_PARTIAL: "an UNMAP of whole leaves, found part of a block (Linux refuses it)",
}

REGIME = np.dtype(
    [
        ("ttbr", "u8"),  # PA of the start-level table
        ("ias", "i8"),  # input address bits
        ("start_level", "i8"),
    ],
    align=True,
)


class Memory(NamedTuple):
    """Simulated physical memory that holds tables.

    `words` is uint64, shape (n,): the content from physical address ``base[0]`` on.  `used` is
    int64, shape (1,): words handed out so far.
    """

    words: Any
    base: Any
    used: Any


def memory(tables: int = 4096, base: int = int(TABLE_BASE)) -> Memory:
    """Return empty table memory with room for `tables` tables of 4 KiB, lazily committed."""
    return Memory(
        np.zeros(tables * TABLE_WORDS, np.uint64), np.array([base], np.uint64), np.zeros(1, np.int64)
    )


def grown(old: Memory) -> Memory:
    """Return `old` with twice the room and the same content."""
    words = np.zeros(2 * old.words.size, np.uint64)
    words[: old.used[0]] = old.words[: old.used[0]]
    return Memory(words, old.base, old.used)


def start_level(ias: int) -> int:
    """Return the level at which a 4K-granule walk of `ias` input bits starts.

    >>> [start_level(b) for b in (48, 40, 39, 32)]
    [0, 0, 1, 1]
    """
    return 4 - -(-(ias - 12) // 9)


@kernel
def new_table(mem):
    """Hand out a zeroed table; return its PA, or 0 when memory is exhausted."""
    at = mem.used[0]
    if at + TABLE_WORDS > mem.words.size:
        return U0
    mem.used[0] = at + TABLE_WORDS
    return mem.base[0] + (np.uint64(at) << U3)


@kernel
def word_index(mem, pa):
    """Return the index of the word at `pa`, or -1 outside memory (an external abort)."""
    if pa < mem.base[0]:
        return -1
    index = np.int64((pa - mem.base[0]) >> U3)
    return index if index < mem.words.size else -1


@kernel
def level_shift(level):
    """Return log2 of what one entry of `level` covers, 4K granule."""
    return np.uint64(39 - 9 * level)


@kernel
def leaf_attributes(prot):
    """Return a leaf's attribute bits for MAP rights, as io-pgtable-arm encodes them.

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
def leaf_level(iova, pa, left):
    """Return the level of the largest leaf that IOVA, PA and the bytes left allow."""
    both = iova | pa
    if left >= PAGE_1G and both & (PAGE_1G - U1) == U0:
        return 1
    if left >= PAGE_2M and both & (PAGE_2M - U1) == U0:
        return 2
    return LAST_LEVEL


@kernel
def map_leaf(mem, regime, iova, pa, level, attributes):
    """Write one leaf, making the tables above it; return MAP_*."""
    table = regime.ttbr
    at = regime.start_level
    while at < level:
        entry = word_index(mem, table + (((iova >> level_shift(at)) & INDEX_MASK) << U3))
        desc = mem.words[entry]
        if desc & VALID == U0:
            below = new_table(mem)
            if below == U0:
                return MAP_NO_MEMORY
            desc = below | TYPE_TABLE
            mem.words[entry] = desc
        elif desc & TYPE_MASK != TYPE_TABLE:
            return MAP_EXISTS
        table = desc & OA_MASK
        at += 1
    entry = word_index(mem, table + (((iova >> level_shift(level)) & INDEX_MASK) << U3))
    desc = mem.words[entry]
    # A table in a block's place is dropped, as io-pgtable frees it; a leaf is never overwritten.
    if desc & VALID != U0 and (level == LAST_LEVEL or desc & TYPE_MASK != TYPE_TABLE):
        return MAP_EXISTS
    kind = TYPE_TABLE if level == LAST_LEVEL else TYPE_BLOCK
    mem.words[entry] = pa | attributes | kind
    return MAP_OK


@kernel
def map_range(mem, regime, iova, size, pa, prot):
    """Map `size` bytes with the largest leaves that fit; return MAP_*.

    A mapping with neither READ nor WRITE maps nothing, as in Linux.  Stage 1 cannot express a
    page that may be written but not read: READ is implied.
    """
    if size == U0 or (iova | pa | size) & PAGE_MASK != U0:
        return MAP_MISALIGNED
    if (iova + size - U1) >> np.uint64(regime.ias) != U0 or iova + size < iova:
        return MAP_OUT_OF_RANGE
    if (pa + size - U1) >> OAS != U0 or pa + size < pa:
        return MAP_OUT_OF_RANGE
    if prot & (PROT_READ | PROT_WRITE) == 0:
        return MAP_OK
    attributes = leaf_attributes(prot)
    left = size
    while left > U0:
        level = max(leaf_level(iova, pa, left), regime.start_level)
        status = map_leaf(mem, regime, iova, pa, level, attributes)
        if status != MAP_OK:
            return status
        step = U1 << level_shift(level)
        iova += step
        pa += step
        left -= step
    return MAP_OK


@kernel
def find_leaf(mem, regime, iova):
    """Return (index of the leaf's word or -1, level reached)."""
    table = regime.ttbr
    level = regime.start_level
    while True:
        entry = word_index(mem, table + (((iova >> level_shift(level)) & INDEX_MASK) << U3))
        desc = mem.words[entry]
        if desc & VALID == U0:
            return -1, level
        if level == LAST_LEVEL or desc & TYPE_MASK == TYPE_BLOCK:
            return entry, level
        table = desc & OA_MASK
        level += 1


@kernel
def unmap_range(mem, regime, iova, size):
    """Clear every leaf in the range; return MAP_OK or the reason nothing was cleared.

    What is not mapped is passed over.  Nothing is cleared when a block is only partly inside.
    """
    if size == U0 or (iova | size) & PAGE_MASK != U0:
        return MAP_MISALIGNED
    if (iova + size - U1) >> np.uint64(regime.ias) != U0 or iova + size < iova:
        return MAP_OUT_OF_RANGE
    for clear in range(2):
        at = iova
        left = size
        while left > U0:
            entry, level = find_leaf(mem, regime, at)
            covers = U1 << level_shift(level)
            inside = covers - (at & (covers - U1))
            if entry >= 0:
                if inside != covers or covers > left:
                    return UNMAP_PARTIAL
                if clear == 1:
                    mem.words[entry] = U0
            step = min(inside, left)
            at += step
            left -= step
    return MAP_OK


@kernel
def tables_needed(size):
    """Return an upper bound of the tables that mapping `size` bytes can allocate."""
    return np.int64(size >> U21) + np.int64(size >> U30) + 8
