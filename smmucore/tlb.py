"""A set-associative cache of translations or of tables (H2; docs/translation.md).

One shape serves micro-TLBs, TLB, walk caches and IPA cache.  An entry is one word: who and what it is for,
and in its low bits the *slot* in which its value lies.  Values never move: where the ways of a set stand in
order of use (LRU), only words do, and a miss takes over the slot of the entry that it evicts.
"""

from __future__ import annotations

import numpy as np

from smmucore.kernel import inlined, kernel
from smmucore.records import one, rows
from smmucore.replacement import victim, was_used
from smmucore.shapes import LRU, NAMES, TREE_PLRU, Shape
from smmucore.state import State, array, record

U0 = np.uint64(0)
U1 = np.uint64(1)

# A word: page number at its size | size class | owner | slot.  A class is log2 of what the entry covers less
# 11 (of a walk cache: which granule), and never 0: so an empty entry, all zero but for its slot, is nobody's.
SLOTS = np.uint64(1 << 12)
SLOT_MASK = SLOTS - U1
OWNER_SHIFT = np.uint64(12)
OWNER_MASK = np.uint64(0x1FF)
CLASS_SHIFT = np.uint64(21)
NUMBER_SHIFT = np.uint64(26)
NUMBER_MASK = np.uint64((1 << 38) - 1)
#: Whose and which size, without the page number.
KIND_MASK = (np.uint64(1 << 26) - U1) & ~SLOT_MASK
CLASS_BASE = 11
CLASS_BITS = 5
CLASS_MASK = (1 << CLASS_BITS) - 1

INFO = np.dtype(
    [
        ("sets", "i8"),
        ("ways", "i8"),
        ("replacement", "i8"),
        ("globals", "i8"),  # a global entry has been put in
    ],
    align=True,
)

UNIT = np.dtype(
    [
        ("seen", "i8"),  # the size classes inserted so far, smallest lowest, five bits each (at most eleven)
        ("random", "u8"),  # state of the generator
    ],
    align=True,
)


class Cache(State):
    """`units` caches of one shape (one micro-TLB for each TBU).

    `words`: uint64, shape (units, sets * ways); a set's ways are adjacent.  `values`, `ready`: uint64 and
    int64, the same shape, by slot; `ready` is when the walk that filled the entry ends.
    `order`: uint64, shape (units, sets): what the replacement keeps of a set, but for LRU.
    """

    words = array(np.uint64, 2)
    values = array(np.uint64, 2)
    ready = array(np.int64, 2)
    order = array(np.uint64, 2)
    units = array(UNIT)
    info = record(INFO)
    # What `smmucore.blocks` puts back.
    kept_words = array(np.uint64, 2)
    kept_values = array(np.uint64, 2)
    kept_order = array(np.uint64, 2)
    kept_units = array(UNIT)
    kept_ready = array(np.int64, 2)


def cache(shape: Shape, units: int = 1) -> Cache:
    """Return empty caches."""
    size = (units, max(shape.entries, 1))
    kind = NAMES.index(shape.replacement)
    info = one(INFO, sets=shape.sets, ways=max(shape.ways, 1), replacement=kind)
    state = rows(UNIT, units)
    for unit in range(units):
        state[unit].random = (0x9E37_79B9_7F4A_7C15 + 256 * shape.seed + 2 * unit) % (1 << 64) | 1
    return Cache(
        words=np.tile(np.arange(size[1], dtype=np.uint64), (units, 1)),
        values=np.zeros(size, np.uint64),
        ready=np.zeros(size, np.int64),
        order=np.zeros((units, max(shape.sets, 1)), np.uint64),
        units=state,
        info=info[0],
        kept_words=np.zeros(size, np.uint64),
        kept_values=np.zeros(size, np.uint64),
        kept_order=np.zeros((units, max(shape.sets, 1)), np.uint64),
        kept_units=state.copy(),
        kept_ready=np.zeros(size, np.int64),
    )


@inlined
def key_of(owner, size, number):
    """Return the word, without a slot, of page `number` of size class `size` of an owner."""
    return (
        ((number & NUMBER_MASK) << NUMBER_SHIFT)
        | (np.uint64(size) << CLASS_SHIFT)
        | (np.uint64(owner) << OWNER_SHIFT)
    )


@inlined
def page_key(owner, size, address):
    """Return the key of the page of size class `size` that holds `address`."""
    return key_of(owner, size, address >> np.uint64(size + CLASS_BASE))


@inlined
def is_key(word, key):
    """Tell whether an entry is that of a key."""
    return word ^ key < SLOTS


@inlined
def first_way(info, key):
    """Return the index of the first way of the key's set."""
    return np.int64((key >> NUMBER_SHIFT) & np.uint64(info.sets - 1)) * info.ways


@kernel
def with_class(seen, size):
    """Return `seen` with class `size` in its place."""
    low = np.int64(0)
    at = np.int64(0)
    while True:
        here = (seen >> at) & CLASS_MASK
        if here == size:
            return seen
        if here == 0 or here > size:
            return low | (size << at) | ((seen >> at) << (at + CLASS_BITS))
        low |= here << at
        at += CLASS_BITS


@kernel
def note_class(cache, unit, size):
    """Remember that the cache holds entries of class `size`."""
    mine = cache.units[unit]
    if mine.seen & CLASS_MASK != size:
        mine.seen = with_class(mine.seen, size)


@inlined
def to_front(words, first, way):
    """Make the entry in `way` the most recent of its set."""
    word = words[way]
    for to in range(way, first, -1):
        words[to] = words[to - 1]
    words[first] = word


@inlined
def find(cache, unit, key):
    """Use the entry under `key`; return its slot, or -1 with nothing changed."""
    words = cache.words[unit]
    info = cache.info
    first = first_way(info, key)
    for way in range(first, first + info.ways):
        if is_key(words[way], key):
            slot = np.int64(words[way] & SLOT_MASK)
            if info.replacement == LRU:
                if way != first:
                    to_front(words, first, way)
            else:
                use_way(cache, unit, first, way)
            return slot
    return np.int64(-1)


@kernel
def use_way(cache, unit, first, way):
    """Tell a replacement other than LRU of a use."""
    ways = cache.info.ways
    if cache.info.replacement == TREE_PLRU:
        at = first // ways
        cache.order[unit, at] = was_used(cache.order[unit, at], ways, way - first)


@kernel
def insert(cache, unit, key):
    """Put an entry in; return the slot for its value.

    An entry that is there already under this key is replaced, not doubled.
    """
    words = cache.words[unit]
    info = cache.info
    ways = info.ways
    first = first_way(info, key)
    chosen = -1
    for way in range(first, first + ways):
        if is_key(words[way], key):
            chosen = way
            break
    if info.replacement == LRU:
        if chosen < 0:
            chosen = first + ways - 1  # empty ways stand last
            words[chosen] = key | (words[chosen] & SLOT_MASK)
        to_front(words, first, chosen)
        return np.int64(words[first] & SLOT_MASK)
    if chosen < 0:
        for way in range(first, first + ways):
            if words[way] < SLOTS:
                chosen = way
                break
    if chosen < 0:
        at = first // ways
        mine = cache.units[unit]
        way, cache.order[unit, at], mine.random = victim(
            info.replacement, cache.order[unit, at], ways, mine.random
        )
        chosen = first + way
    words[chosen] = key | (words[chosen] & SLOT_MASK)
    use_way(cache, unit, first, chosen)
    return np.int64(words[chosen] & SLOT_MASK)


@kernel
def drop(cache, unit, way):
    """Empty one entry.  In a set in order of use the less recent ones move up; tell whether one did."""
    words = cache.words[unit]
    info = cache.info
    slot = words[way] & SLOT_MASK
    if info.replacement == LRU:
        last = (way // info.ways) * info.ways + info.ways - 1
        for to in range(way, last):
            words[to] = words[to + 1]
        words[last] = slot
        return way < last
    words[way] = slot
    return False


@kernel
def drop_kind(cache, unit, mask, kind):
    """Remove every entry of which the bits in `mask` are `kind`."""
    words = cache.words[unit]
    way = 0
    while way < words.size:
        if words[way] >= SLOTS and words[way] & mask == kind:
            if drop(cache, unit, way):
                continue  # another entry moved into this way
        way += 1


@kernel
def drop_range(cache, unit, owner, size, first_page, last_page):
    """Remove an owner's entries of one size class from one page number to another.

    A short range is looked up page by page, a long one by looking at every entry.
    """
    words = cache.words[unit]
    info = cache.info
    if last_page - first_page < np.uint64(info.sets):
        page = first_page
        while page <= last_page:
            key = key_of(owner, size, page)
            first = first_way(info, key)
            for way in range(first, first + info.ways):
                if is_key(words[way], key):
                    drop(cache, unit, way)
                    break
            page += U1
        return
    kind = key_of(owner, size, U0)
    way = 0
    while way < words.size:
        word = words[way]
        if word & KIND_MASK == kind and first_page <= word >> NUMBER_SHIFT <= last_page:
            if drop(cache, unit, way):
                continue
        way += 1


@kernel
def clear(cache, unit):
    """Remove every entry; what the replacement keeps stays."""
    words = cache.words[unit]
    for way in range(words.size):
        words[way] &= SLOT_MASK
