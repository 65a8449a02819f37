"""Random numbers by number: draw i of a key is the same whoever asks, in whatever order.

The generator is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA
2014), whose i-th output needs no other: ``mix(key + (i + 1) * 0x9E3779B97F4A7C15)`` modulo 2**64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_MASK = (1 << 64) - 1
_STEP = 0x9E37_79B9_7F4A_7C15
_FIRST, _SECOND = 0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB
_ROUNDS = 4


def draw(key: int, number: Any) -> Any:
    """Return draw `number` (uint64 array, from 0) of `key`: 64 random bits each.

    Examples
    --------
    >>> draw(1234567, np.arange(2, dtype=np.uint64)).tolist()
    [6457827717110365317, 3203168211198807973]
    """
    z = np.uint64(key & _MASK) + (number + np.uint64(1)) * np.uint64(_STEP)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
    return z ^ (z >> np.uint64(31))


def subkey(key: int, purpose: int) -> int:
    """Return the key of one purpose: draw `purpose` of `key`."""
    return int(draw(key, np.array([purpose], np.uint64))[0])


def below(bits: Any, limit: int) -> Any:
    """Scale draws to 0 .. limit - 1, for a limit of at most 2**32, by their upper 32 bits."""
    return ((bits >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32)


def permute(number: Any, count: int, key: int) -> Any:
    """Put 0 .. count - 1 into a random order: return where each number (uint64 array) goes.

    Rounds of odd multiplication, shift and addition are a bijection of the next power of two; what falls
    outside is sent round again until it falls inside.

    Examples
    --------
    >>> sorted(permute(np.arange(7, dtype=np.uint64), 7, 1).tolist())
    [0, 1, 2, 3, 4, 5, 6]
    """
    bits = max((count - 1).bit_length(), 1)
    mask, shift = np.uint64((1 << bits) - 1), np.uint64(bits // 2 + 1)
    keys = [subkey(key, k) for k in range(2 * _ROUNDS)]

    def once(x: Any) -> Any:
        for k in range(_ROUNDS):
            x = (x * np.uint64(keys[2 * k] | 1) + np.uint64(keys[2 * k + 1])) & mask
            x = x ^ (x >> shift)
        return x

    made = once(number)
    outside = np.flatnonzero(made >= np.uint64(count))
    while outside.size:
        made[outside] = once(made[outside])
        outside = outside[made[outside] >= np.uint64(count)]
    return made
