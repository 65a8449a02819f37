"""A cache that takes a block of keys at once: every key is used, and entered where it is missing (design 11).

Written without a branch on what is found for the shapes that presets have, true LRU of 4 or 8 ways.
"""

from __future__ import annotations

import numpy as np

from smmucore import tlb
from smmucore.kernel import inlined, kernel
from smmucore.shapes import LRU
from smmucore.tlb import NUMBER_SHIFT
from smmucore.vector import lru_4, lru_8

U0 = np.uint64(0)
ALL_ONES = np.uint64((1 << 64) - 1)
U2 = np.uint64(2)
U3 = np.uint64(3)


@kernel
def use_all(cache, unit, keys, count, slots, missed_keys, missed):
    """Use or enter `count` keys in order.

    Parameters
    ----------
    keys : uint64 (count,)
    slots : uint64 (count,)
        Filled: the slot of each.
    missed_keys, missed : uint64 (count,)
        Filled: those that were not there, and which they were.

    Returns
    -------
    int64
        How many were not there.
    """
    info = cache.info
    if info.replacement == LRU and info.ways == 4:
        return use_4(cache.words[unit], info.sets, keys, count, slots, missed_keys, missed)
    if info.replacement == LRU and info.ways == 8:
        return use_8(cache.words[unit], info.sets, keys, count, slots, missed_keys, missed)
    misses = 0
    for k in range(count):
        slot = tlb.find(cache, unit, keys[k])
        if slot < 0:
            slot = tlb.insert(cache, unit, keys[k])
            missed_keys[misses] = keys[k]
            missed[misses] = k
            misses += 1
        slots[k] = np.uint64(slot)
    return np.int64(misses)


# Indices are unsigned: a signed one could be negative, and would be looked at each time.


@inlined
def chosen(yes, a, b):
    """Return `a` or `b`, without a branch."""
    mask = ALL_ONES * np.uint64(yes)
    return (a & mask) | (b & ~mask)


@kernel
def use_4(words, sets, keys, count, slots, missed_keys, missed):
    """As `use_all`, for true LRU of four ways."""
    mask = np.uint64(sets - 1)
    misses = U0
    for n in range(count):
        k = np.uint64(n)
        key = keys[k]
        slot, new = lru_4(words, ((key >> NUMBER_SHIFT) & mask) << U2, key)
        slots[k] = slot
        missed_keys[misses] = key
        missed[misses] = k
        misses += new
    return np.int64(misses)


@kernel
def use_8(words, sets, keys, count, slots, missed_keys, missed):
    """As `use_all`, for true LRU of eight ways."""
    mask = np.uint64(sets - 1)
    misses = U0
    for n in range(count):
        k = np.uint64(n)
        key = keys[k]
        slot, new = lru_8(words, ((key >> NUMBER_SHIFT) & mask) << U3, key)
        slots[k] = slot
        missed_keys[misses] = key
        missed[misses] = k
        misses += new
    return np.int64(misses)


@inlined
def copy(source, target):
    """Copy an array, without numba's runtime."""
    for k in range(source.size):
        target[k] = source[k]


@kernel
def save(cache, unit):
    """Keep a unit's entries, for `undo`."""
    if cache.info.sets == 0:
        return
    copy(cache.words[unit], cache.kept_words[unit])
    cache.kept_units[unit].seen = cache.units[unit].seen
    if cache.info.replacement != LRU:
        cache.kept_units[unit].random = cache.units[unit].random
        copy(cache.order[unit], cache.kept_order[unit])


@kernel
def undo(cache, unit):
    """Put a unit's entries back as they were at `save`."""
    if cache.info.sets == 0:
        return
    copy(cache.kept_words[unit], cache.words[unit])
    cache.units[unit].seen = cache.kept_units[unit].seen
    if cache.info.replacement != LRU:
        cache.units[unit].random = cache.kept_units[unit].random
        copy(cache.kept_order[unit], cache.order[unit])


@kernel
def save_values(cache, unit):
    """Keep a unit's values."""
    if cache.info.sets != 0:
        copy(cache.values[unit], cache.kept_values[unit])


@kernel
def undo_values(cache, unit):
    """Put them back."""
    if cache.info.sets != 0:
        copy(cache.kept_values[unit], cache.values[unit])
