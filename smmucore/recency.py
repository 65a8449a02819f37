"""Pages in the order of their last use, and the small steps that keep them so.

The parts of `smmucore.reuse`: a hash table from a page to the time of its last use, a Fenwick tree over
those times in words of 64, and a heap of the holes that invalidated pages left.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from smmucore.kernel import inlined, kernel

# `when` of a page that was used before and is invalidated, and of an unused place of the table.
ABSENT = -1
EMPTY = -2

# Index in `Stack.state`.
NOW = 0  # the next time
DEPTH = 1  # pages and holes in the stack
PAGES = 2  # distinct pages that were met
HOLES = 3
MOST = 4  # distinct pages after which the caller has to sample
STATE = 5

#: Most halvings of the rate: the bits of the hash that sampling may use.
MOST_HALVINGS = 20

U0 = np.uint64(0)
U1 = np.uint64(1)
U4 = np.uint64(4)
U29 = np.uint64(29)
U32 = np.uint64(32)
INDEX_SHIFT = np.uint64(MOST_HALVINGS)
LOW_HALF = np.uint64(0xFFFF_FFFF)
# Odd, from the fractions of sqrt(2), sqrt(3), sqrt(5) and sqrt(7).
C1 = np.uint64(0x6A09E667)
C2 = np.uint64(0xBB67AE85)
C3 = np.uint64(0x3C6EF373)
C4 = np.uint64(0xA54FF53B)
M1 = np.uint64(0x5555_5555_5555_5555)
M2 = np.uint64(0x3333_3333_3333_3333)
M4 = np.uint64(0x0F0F_0F0F_0F0F_0F0F)
M7 = np.uint64(0x7F)


class Stack(NamedTuple):
    """Pages in the order of their last use.

    `keys`, `when`: uint64 and int64, shape (a power of two,): a hash table from a page to the time of
    its last use.  `at`: int64, shape (times,): the page's place in that table, for each time; ``~place``
    of a hole.  `marks`: uint64, shape (times / 64,): a bit for each time that is in the stack.  `tree`:
    int64, shape (times / 64 + 1,): Fenwick tree of their counts.  `holes`: int64, a heap of the holes'
    times, the latest first.  `mask`: uint64, shape (1,): hash bits that are zero in a sampled page.
    """

    keys: Any
    when: Any
    at: Any
    marks: Any
    tree: Any
    holes: Any
    mask: Any
    state: Any


def stack(places: int, times: int, mask: int, most: int, *, holes: bool) -> Stack:
    """Return an empty stack; `places` and `times` are powers of two, `times` at least 64."""
    state = np.zeros(STATE, np.int64)
    state[MOST] = most
    return Stack(
        np.zeros(places, np.uint64),
        np.full(places, EMPTY, np.int64),
        np.zeros(times, np.int64),
        np.zeros(times // 64, np.uint64),
        np.zeros(times // 64 + 1, np.int64),
        np.zeros(times if holes else 1, np.int64),
        np.array([mask], np.uint64),
        state,
    )


@inlined
def page_hash(page):
    """Return 64 well-mixed bits of a page's number.

    Products of 32-bit halves, which never overflow: plain Python warns where compiled code wraps.
    """
    x = ((page & LOW_HALF) * C1) ^ ((page >> U32) * C2)
    x ^= x >> U32
    x = ((x & LOW_HALF) * C3) ^ (x >> U32) ^ (x << U32)
    x = ((x >> U32) * C4) ^ ((x & LOW_HALF) * C2 >> U32)
    x = ((x >> U32) * C1) ^ ((x & LOW_HALF) << U32) ^ (x >> U32)
    return x ^ (x >> U29)


@inlined
def bits_in(word):
    """Return how many bits of a word are set."""
    word -= (word >> U1) & M1
    word = (word & M2) + ((word >> np.uint64(2)) & M2)
    word = (word + (word >> U4)) & M4
    word += word >> np.uint64(8)
    word += word >> np.uint64(16)
    return np.int64((word + (word >> U32)) & M7)


@inlined
def place_of(keys, when, page, mixed):
    """Return the place of a page in the table, or the unused one where it would go."""
    last = keys.size - 1
    place = np.int64((mixed >> INDEX_SHIFT) & np.uint64(last))
    while when[place] != EMPTY and keys[place] != page:
        place = (place + 1) & last
    return place


@inlined
def bit_of(time):
    """Return a time's bit in its word."""
    return U1 << np.uint64(time & 63)


@inlined
def mark(marks, tree, time):
    """Put a time into the stack."""
    marks[time >> 6] |= bit_of(time)
    node = (time >> 6) + 1
    while node < tree.size:
        tree[node] += 1
        node += node & -node


@inlined
def unmark(marks, tree, time):
    """Take a time out of the stack."""
    marks[time >> 6] &= ~bit_of(time)
    node = (time >> 6) + 1
    while node < tree.size:
        tree[node] -= 1
        node += node & -node


@inlined
def before(marks, tree, time):
    """Return how many times of the stack are earlier than `time`."""
    node = time >> 6
    count = bits_in(marks[node] & (bit_of(time) - U1))
    while node > 0:
        count += tree[node]
        node &= node - 1
    return count


@kernel
def push_hole(holes, state, time):
    """Add a hole's time to the heap."""
    child = state[HOLES]
    state[HOLES] = child + 1
    while child > 0:
        parent = (child - 1) >> 1
        if holes[parent] >= time:
            break
        holes[child] = holes[parent]
        child = parent
    holes[child] = time


@kernel
def pop_hole(holes, state):
    """Take the latest hole off the heap; return its time."""
    top = holes[0]
    size = state[HOLES] - 1
    state[HOLES] = size
    time = holes[size]
    parent = 0
    while 2 * parent + 1 < size:
        child = 2 * parent + 1
        if child + 1 < size and holes[child + 1] > holes[child]:
            child += 1
        if holes[child] <= time:
            break
        holes[parent] = holes[child]
        parent = child
    holes[parent] = time
    return top
