"""LRU stack distances: one pass over a stream of pages gives the hits of every TLB size.

A fully associative TLB of N entries with true LRU holds the N pages used last, so an access hits in it
exactly when its *stack distance*, the number of distinct pages since that page's last use, itself
included, is at most N (Mattson, Gecsei, Slutz, Traiger 1970).  Distances are counted in a Fenwick
tree over the times of last use, in words of 64; times that are over are squeezed out when the room
for them is used up.

Long streams are sampled by page (SHARDS: Waldspurger, Park, Garthwaite, Ahmad, FAST 2015): a page is
looked at when the low bits of its hash are zero, one page in 2**k, and a distance among those pages
stands for 2**k as much.  Rates are powers of two, so every weight is a whole number.

An invalidated page leaves a *hole*: its entry is empty, and the next miss fills the most recent hole
that a TLB of that size has.  So a hole stays where it is until a page from further down, or a new one,
moves to the top.
"""

from __future__ import annotations

import numpy as np

from smmucore.kernel import kernel
from smmucore.recency import (
    ABSENT,
    DEPTH,
    EMPTY,
    HOLES,
    MOST,
    NOW,
    PAGES,
    U0,
    U1,
    before,
    bit_of,
    mark,
    page_hash,
    place_of,
    pop_hole,
    push_hole,
    unmark,
)

# What happens: a page is used, or every page from one number to another is invalidated.
USE = 0
DROP = 1

# Columns of the bins: a first use; distances 1 to the limit; longer ones; a use after invalidation.
COLD = 0
EXTRA = 3

#: The hash bits that put a page into a group.
GROUP_SHIFT = np.uint64(61)


@kernel
def drop_place(stack, place):
    """Turn the page in this place of the table into a hole, if it is in the stack."""
    time = stack.when[place]
    if time >= 0:
        stack.when[place] = ABSENT
        stack.at[time] = ~place
        push_hole(stack.holes, stack.state, time)


@kernel
def drop_range(stack, first, last):
    """Invalidate every page from `first` to `last`: page by page, or by a look at every page there is."""
    if last - first < np.uint64(stack.keys.size):
        page = first
        while page <= last:
            mixed = page_hash(page)
            if mixed & stack.mask[0] == U0:
                drop_place(stack, place_of(stack.keys, stack.when, page, mixed))
            page += U1
        return
    for place in range(stack.keys.size):
        if first <= stack.keys[place] <= last:
            drop_place(stack, place)


@kernel
def feed(stack, kind, page, last, at, weight, bins):
    """Carry out a block from `at` on; return where it ended: before the end when room is needed.

    Parameters
    ----------
    stack : Stack
    kind : uint8 (n,)
        USE or DROP.
    page, last : uint64 (n,)
        The page used; or the first and the last page invalidated.
    at : int64
    weight : int64
        What a sampled page counts for.
    bins : int64 (groups, 1 + limit + 2)
        Weighted uses by distance, for each group of pages; groups is a power of two up to 8.
    """
    state = stack.state
    mask = stack.mask[0]
    limit = bins.shape[1] - EXTRA
    groups = np.uint64(bins.shape[0] - 1)
    while at < page.size:
        key = page[at]
        if kind[at] != USE:
            drop_range(stack, key, last[at])
            at += 1
            continue
        mixed = page_hash(key)
        if mixed & mask != U0:
            at += 1
            continue
        now = state[NOW]
        full = now == stack.at.size or 2 * (state[PAGES] + 1) > stack.keys.size
        if full or state[PAGES] > state[MOST]:
            return at
        group = np.int64((mixed >> GROUP_SHIFT) & groups)
        place = place_of(stack.keys, stack.when, key, mixed)
        time = stack.when[place]
        at += 1
        if time >= 0:
            if time == now - 1:  # the page on top stays there
                bins[group, 1] += weight
                continue
            distance = state[DEPTH] - before(stack.marks, stack.tree, time)
            bins[group, min(1 + (distance - 1) * weight, limit + 1)] += weight
        elif time == ABSENT:
            bins[group, limit + 2] += weight
        else:
            bins[group, COLD] += weight
            stack.keys[place] = key
            state[PAGES] += 1
        if state[HOLES] > 0 and stack.holes[0] > time:
            unmark(stack.marks, stack.tree, pop_hole(stack.holes, state))
            if time >= 0:  # its own entry is the hole now, for the sizes that had it
                stack.at[time] = ~place
                push_hole(stack.holes, state, time)
        elif time >= 0:
            unmark(stack.marks, stack.tree, time)
        else:
            state[DEPTH] += 1
        stack.at[now] = place
        stack.when[place] = now
        mark(stack.marks, stack.tree, now)
        state[NOW] = now + 1
    return at


@kernel
def rebuild(old, new):
    """Move what `new` samples of `old` into it, empty until now, and squeeze out the times that are over."""
    for place in range(old.keys.size):
        if old.when[place] != EMPTY:
            mixed = page_hash(old.keys[place])
            if mixed & new.mask[0] == U0:
                to = place_of(new.keys, new.when, old.keys[place], mixed)
                new.keys[to] = old.keys[place]
                new.when[to] = ABSENT
                new.state[PAGES] += 1
    now = 0
    for time in range(old.state[NOW]):
        if old.marks[time >> 6] & bit_of(time) == U0:
            continue
        place = old.at[time]
        key = old.keys[place if place >= 0 else ~place]
        mixed = page_hash(key)
        if mixed & new.mask[0] != U0:
            continue
        to = place_of(new.keys, new.when, key, mixed)
        if place >= 0:
            new.when[to] = now
            new.at[now] = to
        else:
            new.at[now] = ~to
        mark(new.marks, new.tree, now)
        now += 1
    new.state[NOW] = now
    new.state[DEPTH] = now
    # In falling order, which is a heap.
    for time in range(now - 1, -1, -1):
        if new.at[time] < 0:
            new.holes[new.state[HOLES]] = time
            new.state[HOLES] += 1
