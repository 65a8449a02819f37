"""Simulated physical memory that holds translation tables, and what a change of tables answers (H3)."""

from __future__ import annotations

import numpy as np

from smmucore.kernel import kernel
from smmucore.state import State, array

U0 = np.uint64(0)
U3 = np.uint64(3)

#: Where simulated table memory begins; far from any RAM a capture shows.
TABLE_BASE = np.uint64(0x80_0000_0000)
#: Where it has to begin when a regime has short descriptors, whose tables are below 4G.
SHORT_TABLE_BASE = np.uint64(0xC000_0000)
TABLE_WORDS = 512

# What `map_range` and `unmap_range` answer.
MAP_OK = 0
MAP_EXISTS = 1  # a valid leaf is in the way (Linux: -EEXIST)
MAP_MISALIGNED = 2  # IOVA, PA or size is no multiple of the granule, or size is zero
MAP_OUT_OF_RANGE = 3  # beyond the input or the output address size
UNMAP_PARTIAL = 4  # part of a block: Linux 7.0 refuses
MAP_NO_MEMORY = 5  # table memory is exhausted

MAP_ERRORS = {
    MAP_EXISTS: "an IOVA that is not mapped yet, found a valid leaf (a driver would get -EEXIST)",
    MAP_MISALIGNED: "IOVA, PA and size in whole pages of the granule, found a remainder or no size",
    MAP_OUT_OF_RANGE: "an IOVA inside the input address size and a PA inside the output, found one beyond",
    MAP_NO_MEMORY: "room for the tables, found none",
    UNMAP_PARTIAL: "an UNMAP of whole leaves, found part of a block (Linux refuses it)",
}


class Memory(State):
    """Simulated physical memory that holds tables.

    `words` is uint64, shape (n,): the content from physical address ``base[0]`` on.  `used` is
    int64, shape (1,): words handed out so far.
    """

    words = array(np.uint64)
    base = array(np.uint64)
    used = array(np.int64)


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


@kernel
def new_tables(mem, words):
    """Hand out `words` zeroed words, aligned to as many; return their PA, or 0 when memory is exhausted."""
    at = -(-mem.used[0] // words) * words
    if at + words > mem.words.size:
        return U0
    mem.used[0] = at + words
    return mem.base[0] + (np.uint64(at) << U3)


@kernel
def new_table(mem):
    """Hand out a zeroed 4K table; return its PA, or 0 when memory is exhausted."""
    return new_tables(mem, TABLE_WORDS)


@kernel
def word_index(mem, pa):
    """Return the index of the word at `pa`, or -1 outside memory (an external abort)."""
    if pa < mem.base[0]:
        return -1
    index = np.int64((pa - mem.base[0]) >> U3)
    return index if index < mem.words.size else -1
