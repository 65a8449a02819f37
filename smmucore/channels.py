"""Channels: accesses of the trace and of lanes arrive at their queues, and issue from their heads (H12)."""

from __future__ import annotations

import numpy as np

from smmucore.faults import wake_up
from smmucore.kernel import inlined, kernel
from smmucore.mmu import rights_needed
from smmucore.power import is_asleep
from smmucore.records import NEVER, NOBODY
from smmucore.registers import FSYNR0_IND, FSYNR0_PNU, FSYNR0_WNR
from smmucore.transactions import ISSUED, issue
from traces.events import EXEC, PROT_PRIV, WRITE

# Typed, because numba would compile a kernel once more for a literal.
NO_DEADLINE = np.int64(0)
UNPRIVILEGED = np.int64(0)


@kernel
def next_channel(sim):
    """Return (channel whose head may issue next, when)."""
    best = 0
    t = NEVER
    for ch in range(sim.channels.size):
        channel = sim.channels[ch]
        if channel.length > 0 and channel.try_at < t:
            best = ch
            t = channel.try_at
    return best, max(t, sim.clock.now)


@kernel
def next_lane(sim):
    """Return (injected lane that has an access next, when it arrives)."""
    best = 0
    t = NEVER
    for k in range(sim.lanes.size):
        lane = sim.lanes[k]
        if lane.left > 0:
            arrives = max(lane.next, sim.clock.now)
            if arrives < t and room_for(sim, lane.requester, lane.op):
                best = k
                t = arrives
    return best, t


@kernel
def next_lane_left(sim):
    """Return the injected lane whose next access is the earliest, room for it or not; or NOBODY."""
    best = NOBODY
    t = NEVER
    for k in range(sim.lanes.size):
        if sim.lanes[k].left > 0 and sim.lanes[k].next < t:
            best = k
            t = sim.lanes[k].next
    return best


@inlined
def channel_of(sim, requester, op):
    """Return the channel an access goes through."""
    return 2 * sim.requesters[requester].tbu + (1 if op == WRITE else 0)


@inlined
def room_for(sim, requester, op):
    """Tell whether the access's channel queue has room."""
    return sim.channels[channel_of(sim, requester, op)].length < sim.hw.fifo_depth


@inlined
def fsynr0_flags(op, prot):
    """Return FSYNR0's WNR, PNU and IND for an access (H4)."""
    flags = 0
    if op == WRITE:
        flags |= FSYNR0_WNR
    if op == EXEC:
        flags |= FSYNR0_IND
    if prot & PROT_PRIV:
        flags |= FSYNR0_PNU
    return flags


@kernel
def offer_event(sim, ev, at, t):
    """Let an access of lane 0 arrive at its channel at `t`."""
    op = np.int64(ev.op[at])
    requester = np.int64(ev.requester[at])
    prot = np.int64(ev.prot[at])
    flags = fsynr0_flags(op, prot)
    need = rights_needed(op, prot)
    ch = channel_of(sim, requester, op)
    offer(sim, t, ch, ev.iova[at], need, ev.t[at], requester, flags, NO_DEADLINE)


@inlined
def offer(sim, t, ch, iova, need, intended, requester, flags, deadline):
    """An access arrives at its channel at `t`: it issues at once if it can, else it queues."""
    channel = sim.channels[ch]
    if sim.host.plan.sleeps_after != 0 and is_asleep(sim.host.plan, sim.clock, t):
        wake_up(sim, t)
    sim.clock.accesses += 1
    place = channel.first + channel.length
    if place >= sim.hw.fifo_depth:
        place -= sim.hw.fifo_depth
    row = sim.queues[ch, place]
    row.iova = iova
    row.need = need
    row.intended = intended
    row.requester = requester
    row.access = flags
    row.deadline = deadline
    row.serial = sim.clock.accesses
    if channel.length == 0:
        retry = t
        if channel.ready <= t:
            retry = issue(sim, t, ch, row)
            if retry == ISSUED:
                channel.ready = t + sim.hw.accept
                return
        channel.try_at = max(retry, channel.ready)
    channel.length += 1
    sim.clock.queued += 1


@inlined
def issue_head(sim, ch, t):
    """Try to issue the head of a channel's queue."""
    channel = sim.channels[ch]
    retry = issue(sim, t, ch, sim.queues[ch, channel.first])
    if retry != ISSUED:
        channel.try_at = retry
        if channel.wants_slot == 0:
            sim.clock.now = t  # the head has been looked up; waiting for a slot is no event
        return
    sim.clock.now = t
    channel.first = channel.first + 1 if channel.first + 1 < sim.hw.fifo_depth else 0
    channel.length -= 1
    sim.clock.queued -= 1
    channel.ready = t + sim.hw.accept
    channel.try_at = channel.ready


@kernel
def lane_access(sim, k, t):
    """The next access of an injected lane arrives."""
    lane = sim.lanes[k]
    turn = lane.count % lane.modulo if lane.modulo else lane.count
    iova = lane.iova + np.uint64(turn) * lane.stride
    intended = lane.next
    lane.count += 1
    lane.left -= 1
    lane.next += lane.gap
    ch = channel_of(sim, lane.requester, lane.op)
    need = rights_needed(lane.op, UNPRIVILEGED)
    flags = fsynr0_flags(lane.op, UNPRIVILEGED)
    offer(sim, t, ch, iova, need, intended, lane.requester, flags, lane.deadline)
