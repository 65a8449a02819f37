"""The engine: merge lanes, channels, faults and CPUs in time, and run them (design 11).

In order, with lazily advanced CPUs: on the hit path the bus runs until the next thing that is not an
access of lane 0, and no event heap is kept.  At one instant faults come before contexts, contexts
before channels, channels before lanes.
"""

from __future__ import annotations

import numpy as np

from smmucore import contexts as cpu
from smmucore.backlog import run_backlog
from smmucore.calm import is_calm, run_calm
from smmucore.channels import issue_head, lane_access, next_channel, next_lane, offer_event, room_for
from smmucore.dispatch import may_stall_at
from smmucore.faults import arrive
from smmucore.handler import run_context
from smmucore.invalidate import invalidate
from smmucore.kernel import kernel
from smmucore.pagetable import (
    MAP_OK,
    PAGE_ROOM,
    map_range,
    unmap_range,
    words_needed,
)
from smmucore.records import LIVELOCKED, NEVER, RUNNING
from smmucore.sync import begin_sync, end_sync, sync_ends, tlbi_writes
from smmucore.transactions import next_arrival
from traces.events import ABRUPT, EXEC, MAP, TLBI, TLBI_KIND_MASK, TLBI_SYNC, UNMAP

U0 = np.uint64(0)

#: After so many accesses one by one, `calm` is asked again.
STRETCH = 256

# Why `run` came back.
NEED_EVENTS = 0
DONE = 1
HANG = 2
LIVELOCK = 3
NEED_TABLES = 4
NEED_FAULT_ROWS = 5
BAD_EVENT = 6
CRASH = 7
NEED_CAPTURE_ROWS = 8
PAUSED = 9  # nothing happens up to `clock.pause` any more

# What `trace_event` answers beside MAP_*.
NEED_TABLES_NOW = 100  # the MAP could need more tables than there is room for
WAITS_FOR_FENCE = 101


@kernel
def run(sim, ev, at, last):
    """Run until the block is used up, the run ends, or room is needed.

    Parameters
    ----------
    sim : Sim
    ev : Events
        The present block of lane 0.
    at : int64
        Index of its next event.
    last : bool
        No block follows.

    Returns
    -------
    status : int64
        One of the constants above.
    at : int64
        Index of the next event, or of the one that could not be carried out.
    """
    clock = sim.clock
    n = ev.t.size
    while True:
        if clock.stop != RUNNING:
            return (LIVELOCK if clock.stop == LIVELOCKED else CRASH), at
        if sim.faults.size - clock.faults < 2:
            return NEED_FAULT_ROWS, at
        if sim.mem.words.size - sim.mem.used[0] < PAGE_ROOM:
            return NEED_TABLES, at
        if sim.host.captures.shape[0] - clock.captures < 2:
            return NEED_CAPTURE_ROWS, at
        t_fault = next_arrival(sim)
        c, t_context = next_context(sim.host.contexts)
        ch, t_channel = next_channel(sim) if clock.queued else (0, NEVER)
        lane, t_lane = next_lane(sim) if sim.lanes.size else (0, NEVER)
        submit, t_submit = next_submit(sim.host) if sim.host.plan.submit >= 0 else (0, NEVER)
        t_trace = NEVER
        pause = clock.pause
        if at < n:
            t_trace = trace_time(sim, ev, at)
            before = min(t_fault, t_context, t_channel, pause + 1)
            if ev.op[at] <= EXEC and t_trace < before and t_trace <= t_lane and t_trace <= t_submit:
                if is_calm(sim):
                    done = run_calm(sim, ev, at, min(before, t_lane, t_submit))
                    if done > 0:
                        at += done
                        continue
                at = run_trace(sim, ev, at, before, min(t_lane, t_submit))
                continue  # what comes next may have changed
        elif not last:
            return NEED_EVENTS, at
        if pause < NEVER and pause < min(t_fault, t_context, t_channel, t_lane, t_trace, t_submit) < NEVER:
            return PAUSED, at

        if clock.queued != 0 and sim.lanes.size != 0:
            if run_backlog(sim, min(t_context, t_submit, trace_bound(sim, ev, at), pause + 1)) > 0:
                continue

        if t_submit < min(t_fault, t_context, t_channel, t_lane, t_trace):
            if min(t_fault, t_context, t_channel, t_lane, t_trace) == NEVER:
                return ending(sim, at, n), at  # nothing is left that a submit could matter to
            clock.now = t_submit
            begin_submit(sim.host, submit, t_submit)
        elif t_fault <= t_context and t_fault <= t_channel and t_fault <= t_lane and t_fault <= t_trace:
            if t_fault == NEVER:
                return ending(sim, at, n), at
            clock.now = t_fault
            b = arrive(sim, t_fault)
            cpu.look_at_line(sim.host, b, t_fault)
        elif t_context <= t_channel and t_context <= t_lane and t_context <= t_trace:
            horizon = min(t_fault - 1, t_channel, t_lane, t_trace, t_submit, pause)
            run_context(sim, c, horizon)
        elif t_channel <= t_lane and t_channel <= t_trace:
            issue_head(sim, ch, t_channel)
        elif t_trace <= t_lane:
            clock.now = t_trace
            status = trace_event(sim, ev, at)
            if status == WAITS_FOR_FENCE:
                continue
            if status == NEED_TABLES_NOW:
                return NEED_TABLES, at
            if status != MAP_OK:
                clock.error = status
                return BAD_EVENT, at
            at += 1
        else:
            clock.now = t_lane
            lane_access(sim, lane, t_lane)


@kernel
def ending(sim, at, n):
    """Nothing will ever happen again: is everything done?"""
    if at < n or sim.clock.queued > 0:
        return HANG
    for k in range(sim.slot_free.size):
        if sim.slot_free[k] == NEVER:
            return HANG
    for lane in range(sim.lanes.size):
        if sim.lanes[lane].left > 0:
            return HANG
    return DONE


@kernel
def next_context(contexts):
    """Return (first context that has an effect next, when)."""
    best = 0
    t = NEVER
    for c in range(contexts.size):
        if contexts[c].t_next < t and (contexts[c].on_cpu or contexts[c].state == cpu.DELIVERY):
            best = c
            t = contexts[c].t_next
    return best, t


@kernel
def next_submit(host):
    """Return (bank whose submit would turn stall on again, when it begins): a multiple of `submit_every`."""
    best = 0
    t = NEVER
    every = max(host.cost.submit_every, 1)
    for b in range(host.banks.size):
        if host.contexts[3 * host.banks.size + b].state != cpu.IDLE:
            continue
        after = may_stall_at(host.banks[b], host.client)
        if after < NEVER:
            begins = (max(after, host.clock.now) + every - 1) // every * every
            if begins < t:
                best = b
                t = begins
    return best, t


@kernel
def begin_submit(host, b, now):
    """The driver submits: its context wants a CPU."""
    c = 3 * host.banks.size + b
    host.contexts[c].state = cpu.WAKING
    cpu.make_runnable(host, c, 0, now)


@kernel
def trace_time(sim, ev, at):
    """Return when the next event of lane 0 happens or arrives.

    NEVER for an access while its queue is full, and for an UNMAP or TLBI while nobody knows when the
    accesses that it waits for will have ended.
    """
    t = max(ev.t[at], sim.clock.now)
    if ev.op[at] <= EXEC:
        return t if room_for(sim, np.int64(ev.requester[at]), np.int64(ev.op[at])) else NEVER
    if sim.clock.fence == 0 and sim.clock.sync == 0:
        return t
    ended = fence_time(sim, sim.requesters[np.int64(ev.requester[at])].space)
    return max(t, ended if sim.clock.sync == 0 else sync_ends(sim.clock, sim.cost, ended))


@kernel
def trace_bound(sim, ev, at):
    """Return a time before which nothing of lane 0 happens, whatever accesses end meanwhile."""
    if at == ev.t.size:
        return NEVER
    if sim.clock.fence != 0 or sim.clock.sync != 0:
        return sim.clock.now
    return max(ev.t[at], sim.clock.now)


@kernel
def run_trace(sim, ev, at, before, t_lane):
    """Issue lane 0's accesses while nothing else comes before them; return the index of the next event.

    The first is known to come next.  Faults, contexts and channels go first at one instant (`before`),
    other lanes after (`t_lane`).
    """
    clock = sim.clock
    n = ev.t.size
    queued = clock.queued
    arrivals = clock.arrivals
    stop = min(n, at + STRETCH)
    while at < stop and clock.queued == queued and clock.arrivals == arrivals and ev.op[at] <= EXEC:
        t = max(ev.t[at], clock.now)
        if t >= before or t > t_lane or not room_for(sim, np.int64(ev.requester[at]), np.int64(ev.op[at])):
            break
        clock.now = t
        offer_event(sim, ev, at, t)
        at += 1
    return at


@kernel
def fence_time(sim, b):
    """Return when the last access of bank `b` up to number `clock.fence` has ended, or NEVER."""
    clock = sim.clock
    if clock.queued == 0 and clock.open == 0 and clock.last_end <= clock.now:
        return np.int64(0)
    if clock.queued > 0:
        for ch in range(sim.channels.size):
            channel = sim.channels[ch]
            for k in range(channel.length):
                row = sim.queues[ch, (channel.first + k) % sim.queues.shape[1]]
                if row.serial <= clock.fence and sim.requesters[row.requester].bank == b:
                    return NEVER
    latest = np.int64(0)
    for k in range(sim.slot_free.size):
        if sim.slot_free[k] > clock.now:
            row = sim.slots[k]
            if row.serial <= clock.fence and sim.requesters[row.requester].bank == b:
                latest = max(latest, sim.slot_free[k])
    return latest


@kernel
def trace_event(sim, ev, at):
    """Carry out a MAP, UNMAP, TLBI or MARK, or let an access of lane 0 arrive; return MAP_*."""
    op = np.int64(ev.op[at])
    prot = np.int64(ev.prot[at])
    b = sim.requesters[np.int64(ev.requester[at])].space
    if op <= EXEC:
        offer_event(sim, ev, at, sim.clock.now)
        return MAP_OK
    if op == TLBI and prot & TLBI_KIND_MASK == TLBI_SYNC:
        if sim.clock.sync == 0:
            begin_sync(sim.clock)
            return WAITS_FOR_FENCE
        end_sync(sim.clock, sim.cost, sim.counters)
        return MAP_OK
    if (op == UNMAP or op == TLBI) and prot & ABRUPT == 0:
        # As a driver's fence does, it waits until every earlier access of its space has ended.
        if sim.clock.fence == 0:
            sim.clock.fence = sim.clock.accesses
        if fence_time(sim, b) > sim.clock.now:
            return WAITS_FOR_FENCE
        sim.clock.fence = 0
    if op == MAP:
        into = sim.shadows[b] if sim.host.plan.demand else sim.regimes[b]
        if sim.mem.words.size - sim.mem.used[0] < words_needed(into, ev.iova[at], ev.size[at]):
            return NEED_TABLES_NOW
        return map_range(sim.mem, into, ev.iova[at], ev.size[at], ev.pa[at], prot)
    if op == UNMAP:
        if sim.host.plan.demand:
            status = unmap_range(sim.mem, sim.shadows[b], ev.iova[at], ev.size[at])
            if status != MAP_OK:
                return status
        return unmap_range(sim.mem, sim.regimes[b], ev.iova[at], ev.size[at])
    if op == TLBI:
        writes = tlbi_writes(sim.regimes[b], prot, ev.iova[at], ev.size[at])
        sim.counters.tlbi_writes += writes
        sim.counters.cpu_tlbi_ns += writes * sim.cost.mmio_write
        invalidate(sim.mmu, prot, b, ev.iova[at], ev.size[at])
    return MAP_OK
