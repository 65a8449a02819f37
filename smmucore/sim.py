"""A run's whole state, as named tuples of record arrays.

A single record (the clock, the counters) is passed as such: a record costs a call nothing, where
every array costs it a reference count.  The fault path therefore takes `Host`, which is small, and
only what must see everything takes `Sim`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from smmucore.mmu import Mmu
from smmucore.pagetable import Memory


class Host(NamedTuple):
    """The CPUs, the lines, the banks, and what the kernel keeps.  Record dtypes are in `records`.

    A bank has its own line.  Contexts stand in the order in which they take a CPU: the hard IRQ of
    bank 0, 1, .., then the threads, then the workers.
    """

    contexts: Any  # CONTEXT (3 * banks,)
    lines: Any  # LINE (banks,)
    banks: Any  # BANK (banks,)
    sites: Any  # RATELIMIT (SITES,)
    steps: Any  # STEP: the policy with its client
    plan: Any  # PLAN
    client: Any  # CLIENT: what the GPU's driver keeps between faults
    clock: Any  # CLOCK
    hw: Any  # HW
    cost: Any  # COSTS
    counters: Any  # COUNTERS


class Sim(NamedTuple):
    """Everything the engine reads and writes.

    A channel is ``2 * tbu + (1 if write)``; slot s of channel c is row ``c * slots + s``.
    """

    host: Host
    mmu: Mmu
    mem: Memory
    regimes: Any  # REGIME (banks,): the tables the hardware walks
    shadows: Any  # REGIME (banks,): what a pager could map (scenario `demand`)
    fifos: Any  # int64 (banks, slots of all channels): stalled transactions behind the head
    channels: Any  # CHANNEL (2 * tbus,)
    queues: Any  # WAITING (2 * tbus, fifo_depth)
    slots: Any  # SLOT (2 * tbus * slots,)
    slot_free: Any  # int64, the same shape: when the slot is free; NEVER while nobody knows
    walk_free: Any  # int64 (tbus, walk_slots): when the walk slot is free
    arrivals: Any  # ARRIVAL: faults on their way, earliest first
    requesters: Any  # REQUESTER
    lanes: Any  # LANE: what a scenario adds
    faults: Any  # FAULT: one row a fault, grown between calls
    histogram: Any  # int64 (streams, KINDS, BUCKETS)
    highest: Any  # int64 (streams, KINDS): exact maxima
    clock: Any  # as in `host`
    hw: Any
    cost: Any
    counters: Any


class Events(NamedTuple):
    """A block of the trace, column by column, paced; `requester` indexes Sim.requesters."""

    t: Any  # int64
    op: Any  # uint8
    requester: Any  # int64
    iova: Any  # uint64
    size: Any  # uint64
    pa: Any  # uint64
    prot: Any  # int64
