"""A lane whose accesses wait in their channel's queue, while only they and their faults come (design 11).

Then three sources are left to ask for the next event: faults on their way, the head of that channel, and
the lane; at one instant in this order, as in the engine, and each event is the engine's own.  What all others
will do cannot change meanwhile, but for this: a fault may make a line go up, and so begin a context; it may
end the run; its end may give a slot back that the head of another channel waits for.  Behind such a fault,
and from the first instant on at which another source could have its turn, the engine asks all of them again.
"""

from __future__ import annotations

from smmucore.channels import channel_of, issue_head, lane_access, next_lane_left
from smmucore.contexts import IDLE, line_of, look_at_line
from smmucore.faults import arrive
from smmucore.kernel import kernel
from smmucore.records import NEVER, RUNNING
from smmucore.transactions import next_arrival


@kernel
def run_backlog(sim, quiet):
    """Let the accesses and faults of one lane come, the others being quiet; return how many events that were.

    It ends before `quiet`, before another lane or channel may have its turn, where room for faults is
    needed, and behind a fault that changes what the others will do: one that wakes a context, gives back
    a slot of another channel, or ends the run.

    Parameters
    ----------
    sim : Sim
    quiet : int64
        Before then no context, no submit and nothing of the trace comes by itself.

    Returns
    -------
    int64
    """
    if sim.host.plan.sleeps_after != 0:
        return 0  # an access may wake the SMMU, and that changes every line
    k = next_lane_left(sim)
    if k < 0:
        return 0
    lane = sim.lanes[k]
    ch = channel_of(sim, lane.requester, lane.op)
    done = take_turns(sim, k, ch, min(quiet, others_bound(sim, k, ch)))
    sim.clock.in_backlog += done
    return done


@kernel
def take_turns(sim, k, ch, quiet):
    """Carry out what lane `k`, channel `ch` and faults do before `quiet`; return how many events."""
    clock, host = sim.clock, sim.host
    lane, channel = sim.lanes[k], sim.channels[ch]
    depth = sim.hw.fifo_depth
    room = sim.faults.size - 1
    done = 0
    while clock.faults < room:
        now = clock.now
        t_fault = next_arrival(sim)
        t_channel = max(channel.try_at, now) if channel.length > 0 else NEVER
        t_lane = max(lane.next, now) if lane.left > 0 and channel.length < depth else NEVER
        if min(t_fault, t_channel, t_lane) >= quiet:
            break
        done += 1
        if t_fault <= t_channel and t_fault <= t_lane:
            slot = sim.arrivals[clock.first_arrival].slot
            clock.now = t_fault
            b = arrive(sim, t_fault)
            irq = host.contexts[line_of(host, b)]
            if irq.state == IDLE:
                look_at_line(host, b, t_fault)
                if irq.state != IDLE:
                    break
            if clock.stop != RUNNING or sim.slots[slot].channel != ch:
                break
        elif t_channel <= t_lane:
            issue_head(sim, ch, t_channel)
        else:
            clock.now = t_lane
            lane_access(sim, k, t_lane)
    return done


@kernel
def others_bound(sim, k, ch):
    """Return a time before which no lane but `k` and no channel but `ch` has its turn."""
    bound = NEVER
    for other in range(sim.lanes.size):
        if other != k and sim.lanes[other].left > 0:
            bound = min(bound, max(sim.lanes[other].next, sim.clock.now))
    for other in range(sim.channels.size):
        if other != ch and sim.channels[other].length > 0:
            bound = min(bound, max(sim.channels[other].try_at, sim.clock.now))
    return bound
