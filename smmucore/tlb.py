"""A set-associative cache of translations with true LRU (H2).

One shape serves the micro-TLBs, the TLB and the walk cache.  The ways of a set stand in order of
use, the most recent first, so that finding, refreshing and evicting are one short scan and exact.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from smmucore.kernel import inlined, kernel

U0 = np.uint64(0)
# A tag: context bank | size class | page number at that size.  A class is log2 of what the entry covers
# less 11, and never 0: so no tag is 0.
BANK_SHIFT = np.uint64(57)
BANK_MASK = np.uint64(0x7F)
SIZE_SHIFT = np.uint64(52)
NUMBER_MASK = np.uint64((1 << 52) - 1)
CLASS_BASE = 11
CLASS_BITS = 5
CLASS_MASK = (1 << CLASS_BITS) - 1
#: An SMMUv2 has at most as many context banks.
BANKS = 128


class Cache(NamedTuple):
    """Tags and values of `units` caches of one geometry (one micro-TLB for each TBU).

    `tags`, `values`: uint64, shape (units, sets * ways); a set's ways are adjacent, the most
    recently used first.  `ready`: int64, the same shape: when the walk that filled the entry ends; a
    hit ends no earlier.  `seen`: int64, shape (units,): the size classes inserted so far, smallest lowest,
    five bits each (no machine has more than eleven), so that sizes never used are never looked for.
    `ways`: int64, shape (1,).
    """

    tags: Any
    values: Any
    ready: Any
    seen: Any
    ways: Any


def cache(sets: int, ways: int, units: int = 1) -> Cache:
    """Return empty caches of ``sets x ways`` entries; `sets` is a power of two."""
    if sets < 1 or sets & (sets - 1) or ways < 1:
        raise ValueError(f"expected sets to be a power of two and ways to be positive, found {sets} x {ways}")
    shape = (units, sets * ways)
    return Cache(
        np.zeros(shape, np.uint64),
        np.zeros(shape, np.uint64),
        np.zeros(shape, np.int64),
        np.zeros(units, np.int64),
        np.array([ways], np.int64),
    )


@inlined
def tag_of(bank, size, iova):
    """Return the tag of the page of size class `size` that holds `iova`."""
    return (
        (np.uint64(bank) << BANK_SHIFT)
        | (np.uint64(size) << SIZE_SHIFT)
        | (iova >> np.uint64(size + CLASS_BASE))
    )


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


@inlined
def first_way(tags, ways, tag):
    """Return the index of the first way of the tag's set."""
    sets = np.uint64(tags.size // ways)
    return np.int64((tag & NUMBER_MASK) & (sets - np.uint64(1))) * ways


@inlined
def find(tags, values, ready, ways, tag):
    """Make the entry under `tag` the most recent; return its index, or -1 with nothing changed."""
    first = first_way(tags, ways, tag)
    if tags[first] == tag:
        return first
    for way in range(first + 1, first + ways):
        if tags[way] == tag:
            value = values[way]
            when = ready[way]
            for to in range(way, first, -1):
                tags[to] = tags[to - 1]
                values[to] = values[to - 1]
                ready[to] = ready[to - 1]
            tags[first] = tag
            values[first] = value
            ready[first] = when
            return first
    return -1


@kernel
def insert(tags, values, ready, ways, tag, value, when):
    """Put a translation in as the most recent of its set; the least recent leaves.

    An entry that is there already under this tag is replaced, not doubled.
    """
    first = first_way(tags, ways, tag)
    last = first + ways - 1
    for way in range(first, first + ways):
        if tags[way] == tag:
            last = way
            break
    for to in range(last, first, -1):
        tags[to] = tags[to - 1]
        values[to] = values[to - 1]
        ready[to] = ready[to - 1]
    tags[first] = tag
    values[first] = value
    ready[first] = when


@kernel
def drop(tags, values, ready, way, ways):
    """Remove one entry; the less recent ones of its set move up."""
    last = (way // ways) * ways + ways - 1
    for to in range(way, last):
        tags[to] = tags[to + 1]
        values[to] = values[to + 1]
        ready[to] = ready[to + 1]
    tags[last] = U0
    values[last] = U0


@kernel
def invalidate_range(tags, values, ready, ways, seen, bank, iova, size):
    """Remove every entry of `bank` whose page meets the range (TLBIVA).

    `seen` says which sizes can be there.  A short range is looked up page by page, a long one by looking
    at every entry.
    """
    last = iova + size - np.uint64(1)
    sets = tags.size // ways
    while seen != 0:
        page_size = seen & CLASS_MASK
        seen >>= CLASS_BITS
        shift = np.uint64(page_size + CLASS_BASE)
        first_page = iova >> shift
        last_page = last >> shift
        mark = (np.uint64(bank) << BANK_SHIFT) | (np.uint64(page_size) << SIZE_SHIFT)
        if last_page - first_page < np.uint64(sets):
            page = first_page
            while page <= last_page:
                tag = mark | page
                first = first_way(tags, ways, tag)
                for way in range(first, first + ways):
                    if tags[way] == tag:
                        drop(tags, values, ready, way, ways)
                        break
                page += np.uint64(1)
            continue
        way = 0
        while way < tags.size:
            tag = tags[way]
            page = tag & NUMBER_MASK
            if tag & ~NUMBER_MASK == mark and first_page <= page <= last_page:
                drop(tags, values, ready, way, ways)
                continue  # another entry moved into this way
            way += 1


@kernel
def invalidate_bank(tags, values, ready, ways, bank):
    """Remove every entry of `bank` (TLBIASID: Linux gives each bank an ASID of its own)."""
    way = 0
    while way < tags.size:
        tag = tags[way]
        if tag != U0 and np.int64((tag >> BANK_SHIFT) & BANK_MASK) == bank:
            drop(tags, values, ready, way, ways)
            continue
        way += 1
