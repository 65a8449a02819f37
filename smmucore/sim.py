"""A run's whole state.

The fault path takes `Host`, and only what must see everything takes `Sim`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from smmucore.costs import COSTS
from smmucore.counters import COUNTERS
from smmucore.hardware import HW
from smmucore.mmu import Mmu
from smmucore.pagetable import Memory
from smmucore.records import (
    ARRIVAL,
    BANK,
    CHANNEL,
    CLIENT,
    CLOCK,
    CONTEXT,
    EVENT,
    EVENTQ,
    FAULT,
    GLOBAL,
    LANE,
    LINE,
    PLAN,
    RATELIMIT,
    REQUESTER,
    SLOT,
    STEP,
    WAITING,
)
from smmucore.regime import REGIME
from smmucore.stages import Stages
from smmucore.state import State, array, part, record


class Host(State):
    """The CPUs, the lines, the banks, and what the kernel keeps.  Record dtypes are in `records`.

    A bank has its own line, or all share line 0.  Contexts stand in the order in which they take a CPU: the
    hard IRQ of line 0, 1, .., then the threads of bank 0, 1, .., the workers, and submits if any.
    """

    contexts = array(CONTEXT)  # (3 * banks,), or 4 * banks with submits
    lines = array(LINE)  # (banks,)
    banks = array(BANK)  # (banks,)
    sites = array(RATELIMIT)  # (SITES,)
    steps = array(STEP)  # the policy with its client
    plan = record(PLAN)
    client = record(CLIENT)  # what the GPU's driver keeps between faults
    clock = record(CLOCK)
    hw = record(HW)
    cost = record(COSTS)
    wakes = array(np.int64, 2)  # what wake-ups are drawn from: `smmucore.wakes`
    queue = record(EVENTQ)  # SMMUv3
    events = array(EVENT)  # (hw.events,), or one that nothing uses
    held = array(np.int64)  # (slots of all channels,)
    jobs = array(EVENT)  # the same shape: events that wait for the worker
    captures = array(np.int64, 2)  # begin and end of each crash dump, grown between calls
    counters = record(COUNTERS)


class Sim(State):
    """Everything the engine reads and writes.

    A channel is ``2 * tbu + (1 if write)``; slot s of channel c is row ``c * slots + s``.
    """

    host = part(Host)
    mmu = part(Mmu)
    mem = part(Memory)
    pager = part(Mmu)  # without walk caches: a driver's own walk of the shadow tables
    regimes = array(REGIME)  # (banks,): the tables the hardware walks
    shadows = array(REGIME)  # (banks,): what a pager could map (scenario `demand`)
    fifos = array(np.int64, 2)  # (banks, slots of all channels): stalled transactions behind the head
    channels = array(CHANNEL)  # (2 * tbus,)
    queues = array(WAITING, 2)  # (2 * tbus, fifo_depth)
    slots = array(SLOT)  # (2 * tbus * slots,)
    slot_free = array(np.int64)  # the same shape: when the slot is free; NEVER while nobody knows
    kept_slot_free = array(np.int64)  # for `smmucore.calm`
    kept_walk_free = array(np.int64)
    taken = array(np.uint16)  # by slot: the last access of a block that took it, from one; 0: none
    walk_free = array(np.int64, 2)  # (tbus, walk_slots): when the walk slot is free
    arrivals = array(ARRIVAL)  # faults on their way, earliest first, from `clock.first_arrival` on
    requesters = array(REQUESTER)
    requester_banks = array(np.int64)  # bank of each requester
    kinds = array(np.uint64)  # of their keys: `smmucore.staged.kind_of`
    stages = part(Stages)
    lanes = array(LANE)  # what a scenario adds
    faults = array(FAULT)  # one row a fault, grown between calls
    histogram = array(np.int64, 3)  # (streams, KINDS, BUCKETS)
    highest = array(np.int64, 2)  # (streams, KINDS): exact maxima
    global_fault = record(GLOBAL)
    clock = record(CLOCK)  # as in `host`
    hw = record(HW)
    cost = record(COSTS)
    counters = record(COUNTERS)


class Events(State):
    """A block of the trace, column by column, paced; `requester` indexes Sim.requesters.

    Any array will do; what is not of the declared type is copied.
    """

    t = array(np.int64)
    op = array(np.uint8)
    requester = array(np.uint16)
    iova = array(np.uint64)
    size = array(np.uint64)
    pa = array(np.uint64)
    prot = array(np.uint16)

    def __init__(self, *ordered: Any, **named: Any) -> None:
        values = {**dict(zip(self.fields, ordered, strict=False)), **named}
        super().__init__(
            **{name: np.require(value, self.fields[name].of, ["C", "A"]) for name, value in values.items()}
        )
