"""A block of accesses between its stages, and the first of them: runs of accesses to one page (design 11)."""

from __future__ import annotations

from typing import Any

import numpy as np

from smmucore import tlb
from smmucore.kernel import inlined, kernel
from smmucore.mmu import rights_needed
from smmucore.state import State, array, record
from traces.events import EXEC

#: Accesses of a block.  Its keys, slots and leaves should stay in a second-level data cache.
BLOCK = 1024
#: Fewer accesses are done in order.
FEWEST = 32

U0 = np.uint64(0)
U1 = np.uint64(1)
U12 = np.uint64(12)
#: As many addresses are compared at once with the page of the last one.
GROUP_SIZE = 16
GROUP = np.uint64(GROUP_SIZE)

MADE = np.dtype(
    [
        ("runs", "i8"),
        ("misses", "i8"),
        ("walks", "i8"),
        ("reads", "i8"),
        ("alike", "i8"),  # all of one requester and kind
        ("need", "u8"),  # all rights that the block needs
        ("pairs", "i8"),  # of latencies
        ("latest", "i8"),  # end of an access
        ("done", "i8"),  # accesses that went through in stages, of all blocks
        ("fails", "i8"),  # blocks in a row that could not be done in stages
        ("wait", "i8"),  # blocks to be done in order before the next try
    ],
    align=True,
)


class Stages(State):
    """The block between its stages; all have a place more than it needs.

    A run is a number of accesses to one page, one after the other.  `missed` are the runs that missed the
    micro-TLB, `walked` those of them that missed the TLB too.  A stretch is a number of walks with one table
    of the last level; `cold` are those whose table the walk cache did not have.
    """

    key = array(np.uint64)  # of each run
    start = array(np.uint16)  # its first access
    who = array(np.uint16)  # its requester
    need = array(np.uint16)
    slot = array(np.uint16)  # in the micro-TLB
    leaf = array(np.uint64)
    missed = array(np.uint16)  # run
    missed_key = array(np.uint64)
    main_slot = array(np.uint16)  # in the TLB
    walked = array(np.uint16)  # index in `missed`
    walked_key = array(np.uint64)
    stretch = array(np.uint16)  # its first walk
    table_key = array(np.uint64)  # of each stretch
    table = array(np.uint64)  # and what it inherits
    table_slot = array(np.uint16)  # in the walk cache
    above = array(np.int8)  # descriptors read above it
    cold = array(np.uint16)  # stretch
    cold_key = array(np.uint64)
    cold_table = array(np.uint64)
    cold_reads = array(np.int8)
    line = array(np.uint32)  # where in memory each walk's leaf is
    inherited = array(np.uint8)
    reads = array(np.uint8)
    found = array(np.uint64)  # the leaf's descriptor, then the translation
    # Where time counts: latencies, with how often each pair came.
    late = array(np.int64)  # from intended time
    later = array(np.int64)  # from issue
    times = array(np.uint16)
    whose = array(np.uint16)  # requester
    made = record(MADE)


def stages() -> Stages:
    """Return room for a block."""
    made: dict[str, Any] = {}
    for name, field in Stages.fields.items():
        if name == "made":
            made[name] = np.zeros(1, MADE).view(np.recarray)[0]
        else:
            made[name] = np.zeros(BLOCK + 1, field.of)
    return Stages(**made)


@kernel
def accesses_ahead(op, at):
    """Return how many accesses come next without another event, at most a block of them."""
    ahead = op[at : at + BLOCK]
    others = 0
    for k in range(ahead.size):
        others += ahead[k] > EXEC
    if others == 0:
        return ahead.size
    k = 0
    while ahead[k] <= EXEC:
        k += 1
    return k


@kernel
def block_failed(st):
    """Note that a block had to be done in order; where one after the other has to, fewer are tried."""
    made = st.made
    made.fails = min(made.fails + 1, 6)
    made.wait = (1 << made.fails) - 2


@inlined
def is_worth_a_try(st):
    """Tell whether the next block is to be tried in stages."""
    made = st.made
    if made.wait == 0:
        return True
    made.wait -= 1
    return False


@kernel
def is_alike(column):
    """Tell whether a column has one value."""
    first = column[0]
    apart = first ^ first
    for k in range(column.size):
        apart |= column[k] ^ first
    return apart == 0


@kernel
def split_alike(key, start, iova, kind):
    """Find the runs of a block of one requester and kind.

    Returns how many, and all address bits that are set.
    """
    runs = U0
    seen = U0
    last = ~iova[0]
    n = np.uint64(iova.size)
    k = U0
    while k < n:
        if k + GROUP <= n:
            apart = U0
            for i in range(GROUP_SIZE):
                apart |= iova[k + np.uint64(i)] ^ last
            if apart >> U12 == U0:
                k += GROUP
                continue
        stop = min(k + GROUP, n)
        while k < stop:
            address = iova[k]
            key[runs] = ((address >> U12) << tlb.NUMBER_SHIFT) | kind
            start[runs] = k
            runs += U1 if (address ^ last) >> U12 != U0 else U0
            seen |= address
            last = address
            k += U1
    start[runs] = n
    return np.int64(runs), seen


@kernel
def split(st, ev, at, n, kinds):
    """Find the runs of a mixed block; return how many, and all address bits that are set."""
    runs = -1
    seen = U0
    last = U0
    for k in range(at, at + n):
        address = ev.iova[k]
        who = np.int64(ev.requester[k])
        need = rights_needed(np.int64(ev.op[k]), np.int64(ev.prot[k]))
        key = ((address >> U12) << tlb.NUMBER_SHIFT) | kinds[who]
        seen |= address
        if runs < 0 or key != last:
            runs += 1
            last = key
            st.key[runs] = key
            st.start[runs] = k - at
            st.who[runs] = who
            st.need[runs] = need
        else:
            st.need[runs] |= np.uint16(need)
        st.made.need |= need
    runs += 1
    st.start[runs] = n
    return runs, seen
