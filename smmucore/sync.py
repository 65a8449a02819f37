"""What a TLBI costs the CPU that asks for it: register writes, and the polls of a TLBSYNC (H1, K6).

docs/translation.md, section 6.  Times are ns.
"""

from __future__ import annotations

import numpy as np

from smmucore.kernel import kernel
from smmucore.records import NEVER
from smmucore.regime import NESTED, half, place
from traces.events import (
    TLBI_IPAS2,
    TLBI_IPAS2_LAST,
    TLBI_KIND_MASK,
    TLBI_SYNC,
    TLBI_VA,
    TLBI_VA_LAST,
    TLBI_VAA,
    TLBI_VAA_LAST,
)

U0 = np.uint64(0)
U1 = np.uint64(1)

READS_IN_A_ROUND = 10
ROUNDS = 20
FIRST_DELAY = 1000


@kernel
def polled(wait, read, write):
    """Poll TLBSTATUS until a sync is done, or until the driver gives up.

    Parameters
    ----------
    wait : int64
        From the end of the write of TLBSYNC until the sync is done; NEVER if nobody knows when.
    read, write : int64
        Cost of one register access.

    Returns
    -------
    reads : int64
    total : int64
        From the start of the write to the end of the last read, or of the last delay.
    timed_out : int64
        1: given up after the last round's delay.
    """
    now = np.int64(write)
    done = now + wait
    reads = np.int64(0)
    delay = np.int64(FIRST_DELAY)
    for _ in range(ROUNDS):
        if now + READS_IN_A_ROUND * read >= done:
            seen = np.int64(1)
            if done > now + read:
                seen = (done - now + read - 1) // read
            return reads + seen, now + seen * read, np.int64(0)
        reads += READS_IN_A_ROUND
        now += READS_IN_A_ROUND * read + delay
        delay *= 2
    return reads, now, np.int64(1)


@kernel
def tlbi_writes(regime, prot, iova, size):
    """Return the register writes of a TLBI: one for each granule of a range, else one; none of TLBI_SYNC."""
    kind = prot & TLBI_KIND_MASK
    if kind == TLBI_SYNC:
        return np.int64(0)
    of_ipas = kind == TLBI_IPAS2 or kind == TLBI_IPAS2_LAST
    of_iovas = kind == TLBI_VA or kind == TLBI_VA_LAST or kind == TLBI_VAA or kind == TLBI_VAA_LAST
    if not of_ipas and not of_iovas:
        return np.int64(1)
    if size == U0:
        return np.int64(0)
    _, _, _, page_bits = half(regime, place(regime, iova))
    if of_ipas:
        page_bits = 12 + (regime.s2_granule if regime.format == NESTED else regime.granule)
    shift = np.uint64(page_bits)
    return np.int64(((iova + (size - U1)) >> shift) - (iova >> shift)) + 1


@kernel
def begin_sync(clock):
    """A TLBI_SYNC arrives: it is about the accesses that had arrived before."""
    clock.sync = 1
    clock.sync_since = clock.now
    clock.sync_done = NEVER
    clock.fence = clock.accesses


@kernel
def sync_ends(clock, cost, ended):
    """Return when the polls of the sync at hand end, as far as is known now.

    `ended` is when the last of its accesses has ended; 0 if all have by now, NEVER if nobody knows.  What
    has once been known stays: an access that is over is not asked for again.
    """
    if clock.sync_done == NEVER and ended != NEVER:
        clock.sync_done = max(ended, clock.now)
    _, total, _ = polled(sync_wait(clock, cost), cost.mmio_read, cost.mmio_write)
    return clock.sync_since + total


@kernel
def sync_wait(clock, cost):
    """Return how long after the end of its write the sync at hand is done, or NEVER."""
    if clock.sync_done == NEVER:
        return NEVER
    return max(np.int64(0), clock.sync_done - (clock.sync_since + cost.mmio_write))


@kernel
def end_sync(clock, cost, counters):
    """The sync at hand is over: count it."""
    reads, total, timed_out = polled(sync_wait(clock, cost), cost.mmio_read, cost.mmio_write)
    counters.tlb_syncs += 1
    counters.tlb_sync_reads += reads
    counters.tlb_sync_timeouts += timed_out
    counters.cpu_tlbi_ns += total
    clock.sync = 0
    clock.fence = 0
