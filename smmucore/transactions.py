"""A transaction's life: slot, translation, end (H2, H6, H12)."""

from __future__ import annotations

import numpy as np

from smmucore import bank as rules
from smmucore import dumps
from smmucore.histogram import FROM_INTENDED, FROM_ISSUE, bucket_of
from smmucore.kernel import inlined, kernel
from smmucore.mmu import FROM_UTLB, MISS, check_rights, filled_at, look_up, walk_and_fill
from smmucore.records import COMPLETED, NEVER, TERMINATED
from smmucore.streams import BYPASS, IN_BANK
from smmucore.walk import fault_level_of

U0 = np.uint64(0)
ISSUED = -1


@inlined
def free_slot(sim, ch, t):
    """Return a slot of channel `ch` that is free at `t`, or -1."""
    count = sim.hw.slots
    base = ch * count
    channel = sim.channels[ch]
    at = channel.cursor
    for _ in range(count):
        if sim.slot_free[base + at] <= t:
            channel.cursor = at + 1 if at + 1 < count else 0
            return base + at
        at = at + 1 if at + 1 < count else 0
    return -1


@kernel
def earliest(times):
    """Return (index of the smallest, the smallest)."""
    best = 0
    least = times[0]
    for k in range(1, times.size):
        here = times[k]
        if here < least:
            least = here
            best = k
    return best, least


@kernel
def issue(sim, t, ch, access):
    """Try to issue `access`, a WAITING row, on channel `ch` at `t`.

    Returns
    -------
    int64
        ISSUED, or the time at which to try again (NEVER: when something ends).
    """
    slot = free_slot(sim, ch, t)
    if slot < 0:
        count = sim.hw.slots
        _, when = earliest(sim.slot_free[ch * count : (ch + 1) * count])
        sim.channels[ch].wants_slot = 1
        return when
    channel = sim.channels[ch]
    channel.wants_slot = 0
    who = sim.requesters[access.requester]
    if who.route != IN_BANK:
        pass_by(sim, t, slot, access)
        return ISSUED
    bank = sim.host.banks[who.bank]
    counters = sim.counters
    admission = rules.admit(bank, sim.hw)
    if admission == rules.PROCEED:
        fills = sim.mmu.walked.fills
        if channel.missed == fills:  # nothing has come since that could make it a hit
            source, leaf, ready = MISS, U0, np.int64(0)
        else:
            source, leaf, ready = look_up(sim.mmu, who.tbu, who.bank, access.iova)
        if source == MISS:
            walker, when = earliest(sim.walk_free[who.tbu])
            if when > t:
                channel.missed = fills
                return when
    channel.missed = 0
    occupy(sim, t, slot, access)
    if admission == rules.HOLD:
        counters.collateral += 1
        sim.clock.open += 1
        sim.slot_free[slot] = NEVER
        rules.push(bank, sim.fifos[who.bank], slot)
    elif admission == rules.REFUSE:
        counters.collateral += 1
        terminate(sim, slot, t)
    elif source == MISS:
        walk(sim, slot, t, walker)
    else:
        hit(sim, slot, t, source, leaf, ready)
    return ISSUED


@inlined
def occupy(sim, t, slot, access):
    """Put an access that issues at `t` into its slot."""
    sim.counters.accesses += 1
    row = sim.slots[slot]
    row.iova = access.iova
    row.need = access.need
    row.intended = access.intended
    row.issued = t
    row.requester = access.requester
    row.access = access.access
    row.deadline = access.deadline
    row.fault = 0
    row.retries = 0
    row.serial = access.serial


@kernel
def pass_by(sim, t, slot, access):
    """End an access that belongs to no bank: it bypasses, or a global fault terminates it (H1)."""
    occupy(sim, t, slot, access)
    who = sim.requesters[access.requester]
    if who.route == BYPASS:
        sim.counters.bypassed += 1
        complete(sim, slot, t + sim.cost.utlb_hit)
        return
    sim.counters.global_faults += 1
    rules.global_fault(sim.global_fault, who.route, access.iova, access.access, who.stream)
    terminate(sim, slot, t)


@kernel
def hit(sim, slot, t, source, leaf, ready):
    """End a translation that a TLB answered, no earlier than a walk of its page in flight."""
    row = sim.slots[slot]
    cost = sim.cost
    counters = sim.counters
    counters.translations += 1
    done = t + cost.utlb_hit
    if source == FROM_UTLB:
        counters.utlb_hits += 1
    else:
        counters.tlb_hits += 1
        done += cost.tlb_hit
    done = max(done, ready)
    fault = check_rights(leaf, row.need)
    if fault == 0:
        complete(sim, slot, done)
    else:
        send_fault(sim, slot, done, fault, fault_level_of(leaf, row.need))


@kernel
def walk(sim, slot, start, walker):
    """Walk in walk slot `walker` from `start` on; end the translation or send its fault."""
    row = sim.slots[slot]
    who = sim.requesters[row.requester]
    cost = sim.cost
    counters = sim.counters
    counters.translations += 1
    counters.walks += 1
    fault, level, leaf, reads = walk_and_fill(
        sim.mmu, sim.mem, sim.regimes[who.bank], who.tbu, who.bank, row.iova, row.need
    )
    counters.walk_reads += reads
    done = start + cost.utlb_hit + cost.tlb_hit + cost.walk_cache_hit + reads * cost.walk_mem
    sim.walk_free[who.tbu, walker] = done
    if fault == 0:
        filled_at(sim.mmu, who.tbu, done)
        complete(sim, slot, done)
    else:
        send_fault(sim, slot, done, fault, level)


@kernel
def translate_again(sim, slot, t):
    """Translate a transaction that RESUME retries, or that HUPCF=0 had held, at `t` (H9).

    It has its slot; where all walk slots are busy its walk starts when the first is free.
    """
    row = sim.slots[slot]
    who = sim.requesters[row.requester]
    source, leaf, ready = look_up(sim.mmu, who.tbu, who.bank, row.iova)
    if source == MISS:
        walker, when = earliest(sim.walk_free[who.tbu])
        walk(sim, slot, max(t, when), walker)
    else:
        hit(sim, slot, t, source, leaf, ready)


@kernel
def send_fault(sim, slot, t, bits, level):
    """Send a fault on its way: it reaches the bank at `t`.  Arrivals stay sorted."""
    row = sim.slots[slot]
    row.bits = bits
    row.level = level
    clock = sim.clock
    if sim.slot_free[slot] != NEVER:
        clock.open += 1
        sim.slot_free[slot] = NEVER
    clock.serial += 1
    first = clock.first_arrival
    at = first + clock.arrivals
    if at == sim.arrivals.size:
        for k in range(clock.arrivals):
            move_arrival(sim, k, first + k)
        clock.first_arrival = first = np.int64(0)
        at = clock.arrivals
    while at > first and sim.arrivals[at - 1].t > t:
        move_arrival(sim, at, at - 1)
        at -= 1
    sim.arrivals[at].t = t
    sim.arrivals[at].serial = clock.serial
    sim.arrivals[at].slot = slot
    clock.arrivals += 1


@inlined
def move_arrival(sim, to, at):
    """Move an arrival to another place."""
    sim.arrivals[to].t = sim.arrivals[at].t
    sim.arrivals[to].serial = sim.arrivals[at].serial
    sim.arrivals[to].slot = sim.arrivals[at].slot


@inlined
def next_arrival(sim):
    """Return when the next fault reaches its bank, or NEVER."""
    return sim.arrivals[sim.clock.first_arrival].t if sim.clock.arrivals else NEVER


@kernel
def take_arrival(sim):
    """Remove the earliest arrival; return its slot."""
    clock = sim.clock
    slot = sim.arrivals[clock.first_arrival].slot
    clock.arrivals -= 1
    clock.first_arrival = clock.first_arrival + 1 if clock.arrivals else 0
    return slot


@kernel
def complete(sim, slot, t):
    """End a transaction at `t` with its output address."""
    sim.counters.completed += 1
    end(sim, slot, t, COMPLETED)


@kernel
def terminate(sim, slot, t):
    """Terminate a transaction at `t` (H6)."""
    sim.counters.terminated += 1
    end(sim, slot, t, TERMINATED)


@kernel
def end(sim, slot, t, outcome):
    """Free the slot at `t`, count the latency, terminated or not, and end its fault's story."""
    row = sim.slots[slot]
    if row.fault != 0:
        story = sim.faults[row.fault - 1]
        story.outcome = outcome
        story.t_retired = t
    if sim.slot_free[slot] == NEVER:
        sim.clock.open -= 1
    sim.slot_free[slot] = t
    sim.clock.last_end = max(sim.clock.last_end, t)
    counters = sim.counters
    counters.makespan_ns = max(counters.makespan_ns, t)
    if row.deadline > 0 and dumps.missed(sim.host, row.intended, row.deadline, t):
        counters.watchdogs += 1
    stream = sim.requesters[row.requester].stream_index
    late = t - row.intended
    sim.histogram[stream, FROM_INTENDED, bucket_of(late)] += 1
    sim.highest[stream, FROM_INTENDED] = max(sim.highest[stream, FROM_INTENDED], late)
    late = t - row.issued
    sim.histogram[stream, FROM_ISSUE, bucket_of(late)] += 1
    sim.highest[stream, FROM_ISSUE] = max(sim.highest[stream, FROM_ISSUE], late)
    channel = sim.channels[row.channel]
    if channel.wants_slot and t < channel.try_at:
        channel.try_at = t
